package agent

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// wiretap is a TLS server that keeps every byte that a client says after the
// handshake, and before.
type wiretap struct {
	mu        sync.Mutex
	heard     bytes.Buffer
	dials     int
	handshook int
}

func tap(t *testing.T, certificate tls.Certificate) (*wiretap, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &wiretap{}
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			go w.listen(raw, certificate)
		}
	}()
	return w, listener.Addr().String()
}

func (w *wiretap) listen(raw net.Conn, certificate tls.Certificate) {
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(5 * time.Second))
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}})
	err := conn.Handshake()
	w.mu.Lock()
	w.dials++
	if err == nil {
		w.handshook++
	}
	w.mu.Unlock()
	chunk := make([]byte, 4096)
	for err == nil {
		var n int
		n, err = conn.Read(chunk)
		w.mu.Lock()
		w.heard.Write(chunk[:n])
		w.mu.Unlock()
	}
}

// TestTheTokenGoesToAVerifiedServerOnly: servers that the bundle file does not
// vouch for hear nothing.
func TestTheTokenGoesToAVerifiedServerOnly(t *testing.T) {
	control := newControlPlane(t)
	for name, certificate := range map[string]tls.Certificate{
		"a foreign root": sdstest.New(t).Server(t, defaultServerName),
		"another name":   control.authority.Server(t, "somebody.else"),
		"a workload":     control.authority.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/evil", time.Hour)),
	} {
		t.Run(name, func(t *testing.T) {
			w, address := tap(t, certificate)
			config := control.config(t)
			config.ControlPlane = address
			startAgent(t, config)
			eventually(t, "the agent has tried", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.dials >= 2
			})
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.heard.Len() > 0 {
				t.Errorf("the server heard %q", w.heard.String())
			}
			if ready(config) {
				t.Error("ready")
			}
		})
	}
}

// The wiretap does hear a client that trusts it: else the test above says nothing.
func TestTheWiretapHears(t *testing.T) {
	control := newControlPlane(t)
	w, address := tap(t, control.authority.Server(t, defaultServerName))
	config := control.config(t)
	config.ControlPlane = address
	startAgent(t, config)
	eventually(t, "the wiretap hears HTTP/2", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return strings.Contains(w.heard.String(), "PRI * HTTP/2.0")
	})
}

func TestTheTokenIsForTheFirstCertificateOnly(t *testing.T) {
	control := newControlPlane(t)
	control.ttl = 4 * time.Second
	startAgent(t, control.config(t))
	eventually(t, "the SVID was renewed twice", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.proofs) >= 3
	})
	control.set(func() {
		if first := control.proofs[0]; first.token != "Bearer "+testToken || first.serial != "" {
			t.Errorf("first proof %+v, want the token", first)
		}
		for i, p := range control.proofs[1:] {
			if p.token != "" || p.serial != control.leaves[i].SerialNumber.Text(16) {
				t.Errorf("renewal proven by %+v, want the SVID before it alone", p)
			}
		}
	})
}

// The token file may change, and may come late, as with a projected volume.
func TestTheTokenFileIsReadAgain(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	write(t, config.TokenFile, "an.old.token")
	startAgent(t, config)
	eventually(t, "the old token was refused", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.proofs) > 0
	})
	write(t, config.TokenFile, testToken)
	eventually(t, "the new token is taken", func() bool { return ready(config) })
}

func TestTheBundleFileIsReadAgain(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	write(t, config.TrustBundle, sdstest.PEM(sdstest.New(t).Root))
	startAgent(t, config)
	time.Sleep(300 * time.Millisecond)
	if ready(config) {
		t.Fatal("ready with a foreign bundle")
	}
	write(t, config.TrustBundle, sdstest.PEM(control.authority.Root))
	eventually(t, "the new bundle is taken", func() bool { return ready(config) })
}

func TestAnExpiredSVIDNeedsTheToken(t *testing.T) {
	control := newControlPlane(t)
	control.ttl = 2 * time.Second
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	control.set(func() { control.refuse = status.Error(codes.Unavailable, "away") })
	eventually(t, "the SVID expired", func() bool { return !ready(config) })
	control.set(func() { control.proofs, control.refuse, control.ttl = nil, nil, time.Hour })
	eventually(t, "the agent is ready again", func() bool { return ready(config) })
	control.set(func() {
		if len(control.proofs) != 1 || control.proofs[0].token == "" || control.proofs[0].serial != "" {
			t.Errorf("proofs %+v, want the token once", control.proofs)
		}
	})
}

// In a rotation the control plane may show a certificate of the new root while the
// bundle file still holds the old one: the roots that came with the SVID vouch for
// it, to whoever holds that SVID; a token would not be sent.
func TestAnSVIDsRootsVouchForTheControlPlane(t *testing.T) {
	next := sdstest.New(t)
	control := newControlPlane(t)
	control.ttl = 6 * time.Second
	control.authority.Also = []*x509.Certificate{next.Root}
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	control.server.Stop()
	control.set(func() { control.shows, control.proofs = next, nil })
	control.serve(control.address)
	eventually(t, "the SVID was renewed", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.leaves) > 1
	})
	control.set(func() {
		if control.proofs[0].token != "" || control.proofs[0].serial == "" {
			t.Errorf("renewed with %+v, want the SVID", control.proofs[0])
		}
	})
	second := control.config(t)
	second.IP = "127.0.0.2"
	before := len(control.proofs)
	startAgent(t, second)
	time.Sleep(time.Second)
	control.set(func() {
		for _, p := range control.proofs[before:] {
			if p.token != "" {
				t.Error("a token was sent to a server that the bundle file does not vouch for")
			}
		}
	})
}

func TestStreamsMoveLongBeforeTheirProofEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(90*24*time.Hour)).Draw(t, "left"))
		after := retireAfter(left, rapid.Float64Range(0, 0.999).Draw(t, "r"))
		if after < 0 || after > max(left, 0)/4 || after > retireWithin {
			t.Fatalf("with %s left they stay %s", left, after)
		}
	})
}

// A control plane that no longer takes the SVID is shown the token at once.
func TestARefusedSVIDFallsBackToTheToken(t *testing.T) {
	control := newControlPlane(t)
	control.ttl = 4 * time.Second
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	control.set(func() { control.refuse = status.Error(codes.Unauthenticated, "not one of mine") })
	eventually(t, "both proofs were tried", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.proofs) >= 3
	})
	control.set(func() {
		if svid, token := control.proofs[1], control.proofs[2]; svid.serial == "" || token.token == "" {
			t.Errorf("tried %+v, then %+v", svid, token)
		}
	})
}

func TestUnusableTokens(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "two": "a b", "two lines": "a\nb", "binary": "a\x00b", "large": strings.Repeat("a", maxTokenBytes+1),
	} {
		path := dir + "/" + name
		write(t, path, text)
		if token, err := tokenFile(path).token(); err == nil || strings.Contains(err.Error(), "aaaa") {
			t.Errorf("%s: %q, %v; want an error without its content", name, token, err)
		}
	}
	if _, err := tokenFile(dir + "/missing").token(); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("%v", err)
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		if os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}
