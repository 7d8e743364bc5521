package export_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/ledger/export"
)

func TestTheFile(t *testing.T) {
	var out strings.Builder
	w, err := export.NewWriter(&out, export.Header{Origin: "o", VerifierKey: "o+1+k", From: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		w.Add(7, []byte(`{"kind":"root"}`)), w.SoFar("o\n8\nx\n"), w.Add(8, []byte(`{"kind":"svid"}`)), w.Finish("o\n9\ny\n"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := `{"format":"ensign-ledger/1","origin":"o","verifier_key":"o+1+k","from":7}
{"kind":"root"}
{"so_far":"o\n8\nx\n"}
{"kind":"svid"}
{"checkpoint":"o\n9\ny\n"}
`
	if out.String() != want {
		t.Errorf("wrote\n%s", out.String())
	}
}

func TestWhatIsNoEntryIsNotWritten(t *testing.T) {
	w, err := export.NewWriter(&strings.Builder{}, export.Header{})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "{}", `{"checkpoint":""}`, "{\"kind\":\n1}", `{"kind":"` + strings.Repeat("x", 1<<16) + `"}`} {
		if err := w.Add(0, []byte(data)); err == nil {
			t.Errorf("wrote %.40q", data)
		}
	}
	if err := w.Add(1, []byte(`{"kind":"svid"}`)); err == nil {
		t.Error("wrote entry 1 first")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAFullDiskIsTold(t *testing.T) {
	w, err := export.NewWriter(full{}, export.Header{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(""); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	for n := range 20000 {
		if err = w.Add(uint64(n), []byte(`{"kind":"svid"}`)); err != nil {
			return
		}
	}
	t.Error("a full disk took everything")
}
