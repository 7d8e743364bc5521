package agent

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// cutAll cuts a page and puts it together again.
func cutAll(page io.Reader) (text []byte, chunks int, err error) {
	ended := false
	err = cut(page, func(chunk []byte, last bool) error {
		if ended || len(chunk) > chunkBytes {
			return errors.New("a chunk is too large, or follows the last one")
		}
		text, chunks, ended = append(text, chunk...), chunks+1, last
		return nil
	})
	if err == nil && !ended {
		err = errors.New("no last chunk")
	}
	return text, chunks, err
}

func TestAPageIsCutIntoChunks(t *testing.T) {
	for _, size := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3*chunkBytes + 17} {
		page := bytes.Repeat([]byte{'x'}, size)
		text, chunks, err := cutAll(iotest.HalfReader(bytes.NewReader(page)))
		if err != nil || !bytes.Equal(text, page) || chunks != size/chunkBytes+1 {
			t.Errorf("%d bytes: %d in %d chunks, %v", size, len(text), chunks, err)
		}
	}
	if _, _, err := cutAll(iotest.ErrReader(errors.New("broke off"))); err == nil {
		t.Error("a page that broke off is whole")
	}
	if _, _, err := cutAll(io.LimitReader(zeros{}, maxPageBytes+1)); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a page without end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A key is seen wherever it stands, also across two chunks, and what is sent
// before it is seen holds nothing of the key itself.
func TestAPageWithAKeyIsNotSent(t *testing.T) {
	const secret = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"
	rapid.Check(t, func(t *rapid.T) {
		mark := rapid.SampledFrom([]string{
			"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\n",
			"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0t", "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt",
		}).Draw(t, "mark")
		before := chunkBytes - rapid.IntRange(-5, 60).Draw(t, "before")
		page := strings.Repeat("x", before) + mark + secret + strings.Repeat("y", 100)
		text, _, err := cutAll(strings.NewReader(page))
		if err == nil || !strings.Contains(err.Error(), "private key") || bytes.Contains(text, []byte(secret[:4])) {
			t.Fatalf("%v; %d bytes were sent", err, len(text))
		}
	})
	redacted := `"private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}`
	if text, _, err := cutAll(strings.NewReader(redacted)); err != nil || string(text) != redacted {
		t.Errorf("%q, %v: a redacted key is none", text, err)
	}
}

func FuzzKeyGuard(f *testing.F) {
	f.Add([]byte("a"), []byte("b"), 3)
	f.Fuzz(func(t *testing.T, before, after []byte, split int) {
		text := append(append(append([]byte(nil), before...), keyMarks[len(before)%len(keyMarks)]...), after...)
		split = max(0, min(split, len(text)))
		var guard keyGuard
		first, second := guard.in(text[:split]), guard.in(text[split:])
		if !first && !second {
			t.Errorf("a key split at %d of %d is not seen", split, len(text))
		}
	})
}

func FuzzCerts(f *testing.F) {
	f.Add([]byte(`{"certificates": [{"cert_chain": [{"serial_number": "0a"}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		serials, err := parseCerts(text)
		for _, serial := range serials {
			if err != nil || serial == "" || strings.Trim(serial, "-0123456789abcdef") != "" {
				t.Errorf("%q, %v", serial, err)
			}
		}
	})
}

// Pages beyond the limit are refused, not queued without end, and the ones being
// fetched are not disturbed.
func TestTooManyQueriesAreRefused(t *testing.T) {
	release := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { <-release; io.WriteString(w, "page") }))
	defer server.Close()
	d := newDesk(newAdminPort(server.Listener.Addr().String()), true, newMetrics(prometheus.NewRegistry()))
	var mu sync.Mutex
	answers := make(chan *ensignv1.EnvoyAnswer, 10)
	send := func(message *ensignv1.ConnectRequest) error {
		mu.Lock()
		defer mu.Unlock()
		answers <- message.GetAnswer()
		return nil
	}
	for id := range uint64(maxQueries + 1) {
		d.answer(t.Context(), &ensignv1.EnvoyQuery{Id: id, Page: ensignv1.EnvoyPage_ENVOY_PAGE_STATS}, send)
	}
	if refused := next(t, "refusal", answers, func(*ensignv1.EnvoyAnswer) bool { return true }); refused.GetId() != maxQueries || refused.GetError() == "" {
		t.Errorf("%v", refused)
	}
	close(release)
	for range maxQueries {
		if answer := next(t, "page", answers, func(*ensignv1.EnvoyAnswer) bool { return true }); string(answer.GetChunk()) != "page" {
			t.Errorf("%v", answer)
		}
	}
	eventually(t, "the places are free again", func() bool { time.Sleep(time.Millisecond); return len(d.places) == 0 })
}
