package sds_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// pushed is a word on the roots of authorities, of which the last is to be lived under.
func pushed(sequence uint64, of ...*sdstest.Authority) sds.Trust {
	trust := sds.Trust{Sequence: sequence}
	for _, authority := range of {
		sum := sha256.Sum256(authority.Root.Raw)
		trust.Roots, trust.Root = append(trust.Roots, authority.Root.Raw), hex.EncodeToString(sum[:])
	}
	return trust
}

func rootsOf(of ...*sdstest.Authority) (roots []*x509.Certificate) {
	for _, authority := range of {
		roots = append(roots, authority.Root)
	}
	return roots
}

// trusts says whether exactly these are trusted.
func trusts(t *testing.T, roots *sds.Roots, want ...*sdstest.Authority) {
	t.Helper()
	anchors, err := roots.Anchors()
	if err != nil || sds.BundleHash(anchors.Roots) != sds.BundleHash(rootsOf(want...)) {
		t.Errorf("%d roots are trusted, %v; want others", len(anchors.Roots), err)
	}
}

// answers has the control plane sign with an authority and answer with roots.
func (s *signer) answers(with *sdstest.Authority, roots ...*sdstest.Authority) {
	s.set(func(request []byte) ([]string, error) {
		answer := with.Issue(s.t, request, sdstest.Leaf(testID, 24*time.Hour))
		answer[2] = sdstest.PEM(rootsOf(roots...)...)
		return answer, nil
	})
}

// A word on roots that is odd, foreign or old changes nothing.
func TestAWordOnRootsIsHeldAgainstWhatIsTrusted(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next, foreign := s.authority, sdstest.New(t), sdstest.New(t)
		if err := source.Follow(pushed(5, next, old)); err != nil {
			t.Fatal(err)
		}
		big, leaf, odd, home := pushed(6, next, old), pushed(6, old), pushed(6, old), pushed(6, old)
		for range 70 {
			big.Roots = append(big.Roots, old.Root.Raw)
		}
		leaf.Roots = append(leaf.Roots, live(t, source).Leaf().Raw)
		odd.Roots = append(odd.Roots, []byte("no certificate"))
		home.Root = pushed(6, next).Root
		never, late := pushed(0, old), pushed(6, old)
		late.RenewWithin = -1
		for name, c := range map[string]struct {
			trust sds.Trust
			want  error
		}{
			"foreign": {pushed(6, foreign), sds.ErrForeignRoots}, "many": {big, sds.ErrTrust}, "a leaf": {leaf, sds.ErrTrust}, "rubbish": {odd, sds.ErrTrust},
			"home elsewhere": {home, sds.ErrTrust}, "no sequence": {never, sds.ErrTrust}, "no window": {late, sds.ErrTrust}, "none": {sds.Trust{Sequence: 6}, sds.ErrTrust},
		} {
			if err := source.Follow(c.trust); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if problems, _ := source.Problems(); problems.Trust == "" || problems.Renewal != "" {
				t.Errorf("%s: %+v", name, problems)
			}
		}
		if err := source.Follow(pushed(4, old)); err != nil {
			t.Errorf("an earlier word: %v", err)
		}
		trusts(t, s.roots, old, next)
		first := pushed(4, old)
		first.First = true
		if err := source.Follow(first); err != nil {
			t.Errorf("the first word of a stream: %v", err)
		}
		trusts(t, s.roots, old)
		if problems, _ := source.Problems(); problems != (sds.Problems{}) {
			t.Errorf("%+v", problems)
		}
	})
}

// The bundle file is where trust begins, not where it stays: a root that was retired
// is not trusted because the file has it still.
func TestARetiredRootIsNotTrustedAgain(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next := s.authority, sdstest.New(t)
		trusts(t, s.roots, old)
		for i, trust := range []sds.Trust{pushed(1, old), pushed(2, next, old), pushed(3, old, next)} {
			if err := source.Follow(trust); err != nil {
				t.Fatal(i, err)
			}
		}
		s.answers(next, old, next)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := source.Follow(pushed(4, next)); err != nil {
			t.Fatal(err)
		}
		trusts(t, s.roots, next)
		// The next agent of this folder: the file is as before, and does not count.
		trusts(t, sds.NewRoots(s.config(t)), next)
		// Nor do roots that come with an SVID undo it.
		s.answers(next, old, next)
		source.Renew()
		time.Sleep(6 * time.Second)
		trusts(t, s.roots, next)
	})
}

// Another bundle file is the operator's word, which is above all.
func TestAnotherBundleFileWins(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next, third := s.authority, sdstest.New(t), sdstest.New(t)
		for i, trust := range []sds.Trust{pushed(1, old, next), pushed(2, next)} {
			if err := source.Follow(trust); err != nil {
				t.Fatal(i, err)
			}
		}
		file := rootsOf(third)
		s.file.Store(&file)
		trusts(t, s.roots, third)
		trusts(t, sds.NewRoots(s.config(t)), third)
		if err := source.Follow(pushed(3, next)); !errors.Is(err, sds.ErrForeignRoots) {
			t.Errorf("%v", err)
		}
		if err := source.Follow(pushed(4, next, third)); err != nil {
			t.Error(err)
		}
		trusts(t, s.roots, next, third)
		same := rootsOf(third, third)
		s.file.Store(&same)
		trusts(t, s.roots, next, third)
	})
}

// Another bundle file, and an SVID with the very roots that were pushed: they are still
// those of that Trust, which nobody says again.
func TestAnotherBundleFileTakesNoTrustBack(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next, third := s.authority, sdstest.New(t), sdstest.New(t)
		if err := source.Follow(pushed(7, old, next)); err != nil {
			t.Fatal(err)
		}
		kept := func() sds.Kept {
			s.mu.Lock()
			defer s.mu.Unlock()
			return *s.kept
		}
		both, one := rootsOf(old, next), rootsOf(old)
		s.file.Store(&both)
		s.answers(old, next, old)
		source.Renew()
		time.Sleep(6 * time.Second)
		if now := kept(); now.Sequence != 7 || now.Operator != sds.BundleHash(both) || live(t, source).Bundle() != sds.BundleHash(both) {
			t.Errorf("kept %+v", now)
		}
		trusts(t, s.roots, next, old)
		s.file.Store(&one)
		s.answers(old, old, third)
		source.Renew()
		time.Sleep(6 * time.Second)
		if now := kept(); now.Sequence != 0 {
			t.Errorf("kept %+v: these are of no Trust", now)
		}
	})
}

// A full disk keeps no retired root alive, and is told.
func TestRootsThatCannotBeKeptAreInForce(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next := s.authority, sdstest.New(t)
		s.mu.Lock()
		s.full = errors.New("no space left")
		s.mu.Unlock()
		if err := source.Follow(pushed(1, next, old)); err != nil {
			t.Error(err)
		}
		trusts(t, s.roots, old, next)
		if problems, _ := source.Problems(); !strings.Contains(problems.Trust, "no space left") {
			t.Errorf("%+v", problems)
		}
		source.Keep()
		if problems, _ := source.Problems(); problems.Trust == "" {
			t.Error("it is kept on a full disk")
		}
		// Now there is room, and nobody says anything.
		s.mu.Lock()
		s.full = nil
		s.mu.Unlock()
		source.Keep()
		if problems, _ := source.Problems(); problems.Trust != "" || s.kept.Sequence != 1 || len(s.kept.Roots) != 2 {
			t.Errorf("%+v, kept %+v", problems, s.kept)
		}
		s.mu.Lock()
		s.full = errors.New("no space left")
		s.mu.Unlock()
		if err := source.Follow(pushed(2, next, old)); err != nil {
			t.Error(err)
		}
		// The next stream says the same, and now there is room.
		s.mu.Lock()
		s.full = nil
		s.mu.Unlock()
		again := pushed(2, next, old)
		again.First = true
		if err := source.Follow(again); err != nil {
			t.Error(err)
		}
		if problems, _ := source.Problems(); problems.Trust != "" || s.kept.Sequence != 2 || len(s.kept.Roots) != 2 {
			t.Errorf("%+v, kept %+v", problems, s.kept)
		}
	})
}

// An answer that was under way while roots were replaced brings nothing back.
func TestALateAnswerUndoesNothing(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next := s.authority, sdstest.New(t)
		if err := source.Follow(pushed(1, next, old)); err != nil {
			t.Fatal(err)
		}
		s.takes = 3 * time.Second
		s.answers(old, old, next)
		source.Renew()
		time.Sleep(time.Until(live(t, source).Received.Add(6 * time.Second)))
		if err := source.Follow(pushed(2, next)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*time.Second + 100*time.Millisecond)
		trusts(t, s.roots, next)
		if problems, _ := source.Problems(); !strings.Contains(problems.Renewal, "came while it was asked for") {
			t.Errorf("%+v", problems)
		}
		s.answers(next, next)
		time.Sleep(10 * time.Second)
		if problems, _ := source.Problems(); problems != (sds.Problems{}) || live(t, source).Bundle() != sds.BundleHash(rootsOf(next)) {
			t.Errorf("not renewed under the new root: %+v", problems)
		}
	})
}

// Without a stream, an SVID of a later root brings its roots along.
func TestALaterAnswerBringsItsRoots(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next, third := s.authority, sdstest.New(t), sdstest.New(t)
		if err := source.Follow(pushed(1, old, next)); err != nil {
			t.Fatal(err)
		}
		s.answers(third, next, third)
		source.Renew()
		time.Sleep(6 * time.Second)
		trusts(t, s.roots, next, third)
		s.answers(old, old)
		source.Renew()
		time.Sleep(6 * time.Second)
		trusts(t, s.roots, next, third)
		if problems, _ := source.Problems(); !strings.Contains(problems.Renewal, "bundle file") {
			t.Errorf("%+v", problems)
		}
	})
}

// A root that was shown to follow counts until something else is in force.
func TestALearnedRootIsForTheMoment(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		old, next, third := s.authority, sdstest.New(t), sdstest.New(t)
		before, err := s.roots.Anchors()
		if err != nil {
			t.Fatal(err)
		}
		s.roots.Learn(before, next.Root)
		s.roots.Learn(before, next.Root)
		trusts(t, s.roots, old, next)
		file := rootsOf(old, third)
		s.file.Store(&file)
		trusts(t, s.roots, old, third)
		file = rootsOf(old)
		s.file.Store(&file)
		if err := source.Follow(pushed(1, next)); err != nil {
			t.Fatal(err)
		}
		trusts(t, s.roots, next)
		// What was vouched for by roots that are not in force any more counts for nothing.
		s.roots.Learn(before, third.Root)
		trusts(t, s.roots, next)
	})
}
