package ledger_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
)

func TestRotations(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	if found, err := l.Rotations(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	// The clock went back between the steps: their order is that of the log.
	adopt := ca.Entry{Kind: ca.KindRotation, Time: start, Actor: "ensignd", Verb: "adopt", Object: "root", Detail: `{"prior":0}`}
	begin := adopt
	begin.Time, begin.Verb, begin.Object = start.Add(-time.Hour), "begin", "rotation:aa"
	appendAll(t, l, adopt, renewed("aa", ""), begin)
	found, err := l.Rotations(t.Context())
	if err != nil || len(found) != 2 || found[0].Index != 0 || found[1].Index != 2 || found[0].Entry != adopt || found[1].Entry != begin {
		t.Errorf("%+v, %v", found, err)
	}
	l.Exec(t, `UPDATE entries SET data = replace(data, 'rotation:aa', 'rotation:bb') WHERE idx = 2`)
	if _, err := l.Rotations(t.Context()); !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "entry 2 ") {
		t.Errorf("a changed step: %v", err)
	}
}
