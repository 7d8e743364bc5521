package sds

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxRenewWithin is the longest window over which renewals are spread.
const maxRenewWithin = 7 * 24 * time.Hour

// Trust is the control plane's word on what is to be trusted, and where to live.
type Trust struct {
	// Sequence counts up from 1 with every change.
	Sequence uint64
	// First says that it is the first word of a stream, which is taken even if it
	// counts from a lower number than the words before.
	First bool
	// Roots are DER, 1 to 64.
	Roots [][]byte
	// Root is the SHA-256 (lower-case hex) of the one of them that the SVID is to lead to.
	Root string
	// RenewWithin is how long an SVID that leads to another may take to be renewed.
	RenewWithin time.Duration
}

// read checks a Trust by itself.
func (t Trust) read() (roots []*x509.Certificate, home *x509.Certificate, err error) {
	size := 0
	for _, der := range t.Roots {
		size += len(der)
	}
	if len(t.Roots) == 0 || len(t.Roots) > maxAnswerCerts || size > maxAnswerBytes {
		return nil, nil, fmt.Errorf("%d roots of %d bytes in all, want 1 to %d of at most %d", len(t.Roots), size, maxAnswerCerts, maxAnswerBytes)
	}
	for i, der := range t.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("reading root %d of %d: %w", i+1, len(t.Roots), err)
		}
		roots = append(roots, root)
		if fingerprint(der) == t.Root {
			home = root
		}
	}
	switch {
	case t.Sequence == 0:
		return nil, nil, errors.New("it has no sequence")
	case home == nil:
		return nil, nil, fmt.Errorf("SVIDs are to lead to %.64q, which is none of its %d roots", t.Root, len(roots))
	case t.RenewWithin < 0 || t.RenewWithin > maxRenewWithin:
		return nil, nil, fmt.Errorf("renewals are to be spread over %s, want 0 to %s", t.RenewWithin, maxRenewWithin)
	}
	return roots, home, authorities(roots)
}

func authorities(roots []*x509.Certificate) error {
	for _, root := range roots {
		if !root.IsCA || !root.BasicConstraintsValid {
			return fmt.Errorf("root %q is no CA", root.Subject)
		}
	}
	return nil
}

// wish is the root that SVIDs are to lead to, and by when. The moment is random in
// the window, which begins when the root is first heard of.
type wish struct {
	root   *x509.Certificate
	heard  time.Time
	within time.Duration
	random float64
}

func (w wish) leads() []*x509.Certificate { return []*x509.Certificate{w.root} }

func (w wish) due() time.Time { return w.heard.Add(time.Duration(w.random * float64(w.within))) }

// Follow puts the roots in force, which is Envoy's ROOTCA at once and nothing else:
// the SVID in use stays. If that does not lead to the root that it is to lead to, it
// is renewed within the window; if it leads to none of the roots, soon. An error is
// why the word is not followed, and everything stays; one of an earlier sequence is
// ignored. It may wait for the disk.
func (s *Source) Follow(trust Trust) error {
	roots, home, err := trust.read()
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrTrust, err)
	}
	ignored := false
	if err == nil {
		ignored, err = s.roots.push(trust, roots)
	}
	if ignored {
		s.config.Metrics.trust("ignored")
		s.config.Logger.Warn("roots of an earlier sequence are ignored", "sequence", trust.Sequence)
		return nil
	}
	s.heard(trust, home, err)
	return err
}

// Keep tries again to keep the roots in force for the next agent, if that failed. It may
// wait for the disk.
func (s *Source) Keep() {
	s.roots.keepAgain()
	s.tell()
}

func (s *Source) heard(trust Trust, home *x509.Certificate, err error) {
	result, refusal := "taken", ""
	if err != nil {
		result, refusal = "refused", cutText(err.Error())
		s.config.Logger.Error("the control plane's roots are not taken", "sequence", trust.Sequence, "error", err)
	}
	s.config.Metrics.trust(result)
	s.mu.Lock()
	s.refusal = refusal
	if err == nil {
		if s.wish.root == nil || !s.wish.root.Equal(home) {
			s.wish = wish{root: home, heard: time.Now(), random: rand.Float64()}
		}
		s.wish.within = trust.RenewWithin
	}
	s.mu.Unlock()
	s.hurry()
	s.tell()
}
