package ca_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

func root(t testing.TB) *x509.Certificate {
	t.Helper()
	return must(catest.NewUpstream(t, time.Hour).Bundle(t.Context())).Roots()[0]
}

func TestBundleIgnoresOrderAndRepetition(t *testing.T) {
	a, b := root(t), root(t)
	one, two := must(ca.NewBundle(a, b)), must(ca.NewBundle(b, a, b))
	if one.Hash() != two.Hash() || one.PEM() != two.PEM() || len(two.Roots()) != 2 {
		t.Error("order or repetition of the roots shows")
	}
	first, second := a.Raw, b.Raw
	if bytes.Compare(first, second) > 0 {
		first, second = second, first
	}
	sum := sha256.Sum256(append(bytes.Clone(first), second...))
	if want := hex.EncodeToString(sum[:]); one.Hash() != want {
		t.Errorf("hash %s, want %s", one.Hash(), want)
	}
	if must(ca.NewBundle(a)).Hash() == one.Hash() {
		t.Error("one root has the hash of two")
	}
	again, err := ca.ParseBundle([]byte("\n" + one.PEM() + "\n"))
	if err != nil || again.Hash() != one.Hash() {
		t.Errorf("written and read again: %v", err)
	}
}

func TestBundleRefuses(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	leaf := must(issue(t, mesh.Service, catest.Parse(t, catest.CSR(t, catest.NewKey(t))))).Leaf
	if _, err := ca.NewBundle(); err == nil {
		t.Error("a bundle without roots")
	}
	if _, err := ca.NewBundle(leaf); err == nil {
		t.Error("a leaf as a root")
	}
	good := must(ca.NewBundle(root(t))).PEM()
	for name, text := range map[string]string{
		"empty":       "",
		"garbage":     "hello",
		"text behind": good + "tail",
		"a key":       strings.ReplaceAll(good, "CERTIFICATE", "PRIVATE KEY"),
		"cut short":   good[:len(good)/2],
	} {
		if _, err := ca.ParseBundle([]byte(text)); err == nil {
			t.Errorf("%s was read as a bundle", name)
		}
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte(must(ca.NewBundle(root(f))).PEM()))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		bundle, err := ca.ParseBundle(text)
		if err != nil {
			return
		}
		again, err := ca.ParseBundle([]byte(bundle.PEM()))
		if err != nil || again.Hash() != bundle.Hash() {
			t.Fatalf("bundle does not survive being written: %v", err)
		}
	})
}
