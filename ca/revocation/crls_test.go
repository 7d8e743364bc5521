package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCRLsAreInForceOnlyWhileSomebodyIsCutOff(t *testing.T) {
	a := newAuthority(t, "a", "b")
	cert, _ := a.leaf("reviews", "a", true)
	a.leaf("ratings", "b", true)
	first := a.refreshed()
	if len(first.CRLs) != 0 || first.Problem != "" || first.Revision == 0 {
		t.Fatalf("nobody is revoked: %+v", first)
	}
	act := a.act(Revoke, Serial, serialOf(cert))
	in := a.refreshed()
	if got := serials(t, in); len(in.CRLs) != 2 || !slices.Equal(got, []string{serialOf(cert)}) || in.Revision != first.Revision+1 || in.For != act.Index+1 {
		t.Fatalf("one is revoked: lists %v, %+v", got, in)
	}
	signed := a.signs
	if again := a.refreshed(); again != in || a.signs != signed {
		t.Error("made again though nothing changed")
	}
	a.act(Revoke, Pod, "shop/nobody")
	if other := a.refreshed(); other.Revision != in.Revision || other.For == in.For || a.signs != signed {
		t.Errorf("an act without certificates changed the CRLs: %+v", other)
	}
	a.act(Quarantine, ServiceAccount, "shop/ratings")
	if both := a.refreshed(); len(serials(t, both)) != 2 || both.Revision != in.Revision+1 {
		t.Errorf("one in quarantine beside: %v", serials(t, both))
	}
	a.act(Release, ServiceAccount, "shop/ratings")
	released := a.refreshed()
	if got := serials(t, released); !slices.Equal(got, []string{serialOf(cert)}) || released.Revision != in.Revision+2 {
		t.Errorf("after the release %v", got)
	}
	a.reopen()
	if after, _ := a.crls.Current(); after.Revision != released.Revision || !slices.EqualFunc(after.CRLs, released.CRLs, bytes.Equal) || after.For != released.For {
		t.Errorf("after a restart revision %d, before %d", after.Revision, released.Revision)
	}
}

func TestARevokedIssuerIsLeftOut(t *testing.T) {
	a := newAuthority(t, "a", "b")
	a.act(Revoke, IssuerSerial, "a")
	set := a.refreshed()
	if len(set.CRLs) != 1 || set.Problem != "" || !a.RevokedIssuer("a") || a.RevokedIssuer("b") {
		t.Fatalf("%+v", set)
	}
	a.act(Revoke, IssuerSerial, "b")
	if set := a.refreshed(); len(set.CRLs) != 0 || set.Problem == "" {
		t.Errorf("no issuer is left, and nobody is told: %+v", set)
	}
	if err := a.crls.Introduce(t.Context(), a.certs["a"]); err != nil {
		t.Errorf("nothing is in force, so nobody is waited for: %v", err)
	}
	a.introduce("c", day)
	if set := a.refreshed(); len(set.CRLs) != 1 || set.Problem != "" {
		t.Errorf("with a new issuer: %+v", set)
	}
	if err := a.crls.Introduce(t.Context(), a.certs["a"]); err == nil {
		t.Error("a revoked issuer was introduced")
	}
}

// TestADestroyedKey: the replica's SVIDs go on, and what it cannot list any more is said.
func TestADestroyedKey(t *testing.T) {
	a := newAuthority(t, "a", "b")
	one, _ := a.leaf("reviews", "a", true)
	two, _ := a.leaf("ratings", "a", true)
	other, _ := a.leaf("details", "b", true)
	a.act(Quarantine, ServiceAccount, "shop/reviews")
	if got := serials(t, a.refreshed()); !slices.Equal(got, []string{serialOf(one)}) {
		t.Fatalf("lists %v", got)
	}
	a.destroy("a")
	if got := a.crls.Unlisted([]Certificate{{Serial: serialOf(two), IssuerSerial: "a"}, {Serial: serialOf(other), IssuerSerial: "b"}}); len(got) != 1 || !strings.Contains(got[0], serialOf(two)) {
		t.Errorf("warned of %v", got)
	}
	a.act(Revoke, Serial, serialOf(two))
	a.act(Revoke, Serial, serialOf(other))
	set := a.refreshed()
	if got := serials(t, set); !slices.Equal(got, []string{serialOf(one), serialOf(other)}) || set.Problem != "" {
		t.Errorf("lists %v, problem %q", got, set.Problem)
	}
	if len(set.Warnings) != 1 || !strings.Contains(set.Warnings[0], serialOf(two)) {
		t.Errorf("warnings: %v", set.Warnings)
	}
	a.act(Release, ServiceAccount, "shop/reviews")
	if set := a.refreshed(); len(set.CRLs) != 2 || len(set.Warnings) != 2 || !strings.Contains(set.Warnings[1], serialOf(one)) {
		t.Errorf("after the release: %v", set.Warnings)
	}
	a.reopen()
	if set, _ := a.crls.Current(); len(set.CRLs) != 2 {
		t.Errorf("after a restart: %+v", set)
	}
}

// TestBrokenFiles: with the key they are made again; without it none is in force, and
// the issuer is named.
func TestBrokenFiles(t *testing.T) {
	for name, ruin := range map[string]func(t *testing.T, a *authority, path string){
		"missing": func(t *testing.T, _ *authority, path string) { os.Remove(path) },
		"empty":   func(t *testing.T, _ *authority, path string) { spoil(t, path, func([]byte) []byte { return nil }) },
		"half written": func(t *testing.T, _ *authority, path string) {
			spoil(t, path, func(b []byte) []byte { return b[:len(b)/2] })
		},
		"garbage": func(t *testing.T, _ *authority, path string) {
			spoil(t, path, func([]byte) []byte { return bytes.Repeat([]byte{7}, 500) })
		},
		"something behind it": func(t *testing.T, _ *authority, path string) {
			spoil(t, path, func(b []byte) []byte { return append(b, b...) })
		},
		"another issuer's": func(t *testing.T, a *authority, path string) {
			other, _ := os.ReadFile(filepath.Join(a.dir, "b.crl"))
			spoil(t, path, func([]byte) []byte { return other })
		},
		"a changed bit": func(t *testing.T, _ *authority, path string) {
			spoil(t, path, func(b []byte) []byte {
				block, _ := pem.Decode(b)
				block.Bytes[len(block.Bytes)-1] ^= 1
				return pem.EncodeToMemory(block)
			})
		},
		"expired": func(t *testing.T, a *authority, path string) {
			a.resign(path, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Second) })
		},
		"ends early": func(t *testing.T, a *authority, path string) {
			a.resign(path, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(time.Hour) })
		},
		"ends with its issuer": func(t *testing.T, a *authority, path string) {
			a.resign(path, func(l *x509.RevocationList) { l.NextUpdate = a.certs["a"].NotAfter })
		},
		"of the future": func(t *testing.T, a *authority, path string) {
			a.resign(path, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Hour) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, "a", "b")
			cert, _ := a.leaf("reviews", "a", true)
			mine, _ := a.leaf("ratings", "b", true)
			a.act(Revoke, Serial, serialOf(mine))
			before := a.refreshed()
			ruin(t, a, filepath.Join(a.dir, "a.crl"))
			a.reopen()
			set, _ := a.crls.Current()
			a.sound(set)
			if len(set.CRLs) != 2 || set.Problem != "" || set.Revision <= before.Revision {
				t.Errorf("with the key: %d in force, %q", len(set.CRLs), set.Problem)
			}
			ruin(t, a, filepath.Join(a.dir, "a.crl"))
			a.destroy("a")
			a.reopen()
			if set, _ = a.crls.Current(); len(set.CRLs) != 0 || !strings.Contains(set.Problem, "issuer a,") {
				t.Errorf("without the key: %d in force, %q", len(set.CRLs), set.Problem)
			}
			// The cure that the problem names.
			a.act(Revoke, IssuerSerial, "a")
			if set := a.refreshed(); len(set.CRLs) != 1 || set.Problem != "" {
				t.Errorf("with the issuer revoked: %d in force, %q", len(set.CRLs), set.Problem)
			}
			if got := a.cut(); !slices.Contains(got, serialOf(cert)) {
				t.Errorf("cut off: %v", got)
			}
		})
	}
}

// TestALostFolderIsMadeAgain: issuers that were introduced are not introduced again, and must
// not keep CRLs out of force for want of a file.
func TestALostFolderIsMadeAgain(t *testing.T) {
	a := newAuthority(t, "a", "b")
	cert, _ := a.leaf("reviews", "a", true)
	a.leaf("ratings", "b", true)
	a.act(Revoke, Serial, serialOf(cert))
	a.refreshed()
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	a.reopen()
	set, _ := a.crls.Current()
	a.sound(set)
	if got := serials(t, set); len(set.CRLs) != 2 || set.Problem != "" || !slices.Equal(got, []string{serialOf(cert)}) {
		t.Errorf("%d in force, listing %v, %q", len(set.CRLs), got, set.Problem)
	}
	// One whose certificate was exchanged; and one whose key is gone as well.
	spoil(t, filepath.Join(a.dir, "a.pem"), func([]byte) []byte {
		other, _ := os.ReadFile(filepath.Join(a.dir, "b.pem"))
		return other
	})
	a.reopen()
	if set, _ := a.crls.Current(); len(set.CRLs) != 2 || set.Problem != "" {
		t.Errorf("an exchanged certificate: %d in force, %q", len(set.CRLs), set.Problem)
	}
	a.destroy("a")
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	a.reopen()
	if set, _ := a.crls.Current(); len(set.CRLs) != 0 || !strings.Contains(set.Problem, "issuer a,") {
		t.Errorf("without the key: %d in force, %q", len(set.CRLs), set.Problem)
	}
}

// resign puts a changed CRL, well signed, in the place of the good one.
func (a *authority) resign(path string, alter func(*x509.RevocationList)) {
	a.t.Helper()
	a.alter = alter
	der, err := a.SignCRL("a", numberAfter(nil, time.Now()), nil)
	if a.alter = nil; err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func TestTheSignerIsNotBelievedBlindly(t *testing.T) {
	a := newAuthority(t, "a")
	cert, _ := a.leaf("reviews", "a", true)
	a.act(Revoke, Serial, serialOf(cert))
	for name, alter := range map[string]func(*x509.RevocationList){
		"ends early":    func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(time.Hour) },
		"lists nobody":  func(l *x509.RevocationList) { l.RevokedCertificateEntries = nil },
		"of the future": func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) },
	} {
		a.alter = alter
		if set := a.refreshed(); len(set.CRLs) != 1 || len(serials(t, set)) != 0 || !strings.Contains(set.Problem, "behind") {
			t.Errorf("%s: %+v", name, set)
		}
	}
	a.alter, a.fail = nil, errors.New("not now")
	if set := a.refreshed(); len(set.CRLs) != 1 || !strings.Contains(set.Problem, "not now") {
		t.Errorf("no signer: %+v", set)
	}
	a.fail = nil
	if set := a.refreshed(); len(serials(t, set)) != 1 || set.Problem != "" {
		t.Errorf("signed at last: %+v", set)
	}
}

// TestALostFolder: what cannot be made again waits for its introduction.
func TestALostFolder(t *testing.T) {
	a := newAuthority(t, "a")
	cert, _ := a.leaf("reviews", "a", true)
	before := a.refreshed()
	os.RemoveAll(a.dir)
	delete(a.introduced, "a")
	a.begin("dead", day)
	a.destroy("dead") // never introduced, and never will be
	a.reopen()
	if set, _ := a.crls.Current(); len(set.Warnings) != 1 || set.Problem != "" {
		t.Errorf("before anybody is cut off: %+v", set)
	}
	a.act(Revoke, Serial, serialOf(cert))
	err := a.crls.refresh(t.Context())
	set, _ := a.crls.Current()
	if err != nil || len(set.CRLs) != 0 || !strings.Contains(set.Problem, "issuer a,") || strings.Contains(set.Problem, "dead") {
		t.Errorf("%+v", set)
	}
	if err := a.crls.Introduce(t.Context(), a.certs["a"]); err != nil {
		t.Fatal(err)
	}
	if set, _ = a.crls.Current(); len(set.CRLs) != 1 || set.Problem != "" || set.Revision <= before.Revision {
		t.Errorf("introduced again: %+v", set)
	}
}

// TestAnIssuerOnItsWay is in the ledger and not introduced: the others' CRLs stand.
func TestAnIssuerOnItsWay(t *testing.T) {
	a := newAuthority(t, "a")
	cert, _ := a.leaf("reviews", "a", true)
	a.act(Revoke, Serial, serialOf(cert))
	before := a.refreshed()
	next := a.begin("b", day)
	if err := a.crls.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if set, _ := a.crls.Current(); set != before || !a.crls.now.Load().retry {
		t.Errorf("before its introduction: %+v", set)
	}
	a.leaf("ratings", "b", true) // against all rules
	if set := a.refreshed(); len(set.CRLs) != 0 || !strings.Contains(set.Problem, "issuer b,") {
		t.Errorf("it signs without: %+v", set)
	}
	if err := a.crls.Introduce(t.Context(), next); err != nil || len(a.refreshed().CRLs) != 2 {
		t.Errorf("introduced: %v", err)
	}
}

// TestACertificateOfSomebodyElse in the folder is not believed, though it has the
// issuer's serial and name.
func TestACertificateOfSomebodyElse(t *testing.T) {
	a, thief := newAuthority(t, "a"), newAuthority(t, "a")
	cert, _ := a.leaf("reviews", "a", true)
	a.act(Revoke, Serial, serialOf(cert))
	for _, name := range []string{"a.pem", "a.crl"} {
		theirs, err := os.ReadFile(filepath.Join(thief.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		spoil(t, filepath.Join(a.dir, name), func([]byte) []byte { return theirs })
	}
	delete(a.introduced, "a")
	if set := a.refreshed(); len(set.CRLs) != 0 || !strings.Contains(set.Problem, "not the certificate that the ledger has") {
		t.Errorf("believed: %+v", set)
	}
	if err := a.crls.Introduce(t.Context(), a.certs["a"]); err != nil || len(a.refreshed().CRLs) != 1 {
		t.Errorf("introduced again: %v", err)
	}
}

// TestTooManyForTheAgents: they take none of a set that is too large.
func TestTooManyForTheAgents(t *testing.T) {
	d := draft{set: Set{CRLs: [][]byte{make([]byte, MaxSetSize/2), make([]byte, MaxSetSize/2+1)}}}
	d.settle(true, nil, nil)
	if len(d.set.CRLs) != 0 || d.set.Problem == "" {
		t.Errorf("%+v", d)
	}
}

func TestIssuersThatEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "a")
		a.introduce("b", 2*time.Hour)
		cert, _ := a.leaf("reviews", "a", true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go a.Run(ctx)
		go a.crls.Run(ctx)
		a.act(Revoke, Serial, serialOf(cert))
		synctest.Wait()
		in, _ := a.crls.Current()
		if a.sound(in); len(in.CRLs) != 2 {
			t.Fatalf("%+v", in)
		}
		time.Sleep(2*time.Hour + 5*time.Second)
		synctest.Wait()
		left, _ := a.crls.Current()
		if a.sound(left); len(left.CRLs) != 1 || left.Problem != "" {
			t.Errorf("one issuer has ended: %+v", left)
		}
		if found, _ := filepath.Glob(filepath.Join(a.dir, "b.*")); len(found) != 0 {
			t.Errorf("left behind: %v", found)
		}
		time.Sleep(day)
		synctest.Wait()
		if out, _ := a.crls.Current(); len(out.CRLs) != 0 || out.Problem != "" || out.Revision <= left.Revision {
			t.Errorf("nobody is cut off any more: %+v", out)
		}
	})
}
