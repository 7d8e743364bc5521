package ledger_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca/ledger"
)

// crowd appends n SVIDs, 50 at a time.
func crowd(t testing.TB, l *ledger.Ledger, n int) {
	t.Helper()
	for n > 0 {
		now := min(n, 50)
		done := make(chan error, now)
		for i := range now {
			go func() { _, err := l.Append(t.Context(), svid(i)); done <- err }()
		}
		for range now {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		n -= now
	}
}

// follower is torchwood's own client, with no help from this package.
type follower struct {
	fetcher *torchwood.TileFetcher
	client  *torchwood.Client
	policy  torchwood.Policy
	next    int64
	tree    tlog.Tree
	entries [][]byte
}

func follow(t testing.TB, url, key string) *follower {
	t.Helper()
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := torchwood.NewTileFetcher(url)
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	return &follower{
		fetcher: fetcher, client: client,
		policy: torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(verifier)),
	}
}

// step takes the newest checkpoint, proves that the log grew into it from the
// last one, and takes the entries that are new.
func (f *follower) step(t testing.TB) error {
	text, err := f.fetcher.ReadEndpoint(t.Context(), "checkpoint")
	if err != nil {
		return err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(text, f.policy)
	if err != nil {
		return err
	}
	if f.tree.N > 0 && f.tree.N < checkpoint.N {
		proof, err := tlog.ProveTree(checkpoint.N, f.tree.N, torchwood.TileHashReaderWithContext(t.Context(), checkpoint.Tree, f.fetcher))
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, checkpoint.N, checkpoint.Hash, f.tree.N, f.tree.Hash); err != nil {
			return err
		}
	}
	f.tree = checkpoint.Tree
	for index, data := range f.client.AllEntries(t.Context(), checkpoint.Tree, f.next) {
		if index != f.next {
			return fmt.Errorf("entry %d came where %d was due", index, f.next)
		}
		f.next, f.entries = index+1, append(f.entries, slices.Clone(data))
	}
	return f.client.Err()
}

// TestTorchwoodFollows: any C2SP client can follow the log while it grows, over
// the edges of tiles.
func TestTorchwoodFollows(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	server := httptest.NewServer(ledger.Handler(l))
	defer server.Close()
	_, key, _ := l.Checkpoint()
	f := follow(t, server.URL, key)
	grown := l.Changed()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, n := range []int{1, 254, 1, 1, 300, 700} {
			crowd(t, l, n)
		}
	}()
	for f.next < 1257 {
		<-grown
		grown = l.Changed()
		if err := f.step(t); err != nil {
			t.Fatalf("at %d: %v", f.next, err)
		}
	}
	<-done
	for r, err := range l.Read(t.Context(), 0, 0) {
		if err != nil || !bytes.Equal(r.Data, f.entries[r.Index]) {
			t.Fatalf("entry %d: followed %q, have %q, %v", r.Index, f.entries[r.Index], r.Data, err)
		}
	}
	entry, proof, err := f.client.Entry(t.Context(), f.tree, 777)
	if err != nil || !bytes.Equal(entry, f.entries[777]) || len(proof) == 0 {
		t.Errorf("entry 777: %q, %d hashes, %v", entry, len(proof), err)
	}
}

// TestTorchwoodFindsTheChange: what the server would not see, the client does.
func TestTorchwoodFindsTheChange(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	crowd(t, l, 300)
	server := httptest.NewServer(ledger.Handler(l))
	defer server.Close()
	_, key, _ := l.Checkpoint()
	var data []byte
	for r := range l.Read(t.Context(), 17, 1) {
		data = bytes.Replace(r.Data, []byte("sa/a"), []byte("sa/x"), 1)
	}
	hash := tlog.RecordHash(data)
	l.Exec(t, `UPDATE entries SET data = ? WHERE idx = 17`, string(data))
	l.Exec(t, `UPDATE hashes SET hash = ? WHERE idx = ?`, hash[:], tlog.StoredHashIndex(0, 17))
	if err := follow(t, server.URL, key).step(t); err == nil {
		t.Error("the client took an entry that was changed")
	}
}

func get(t testing.TB, h http.Handler, method, path string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Result()
}

func TestTilePaths(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	h := ledger.Handler(l)
	if r := get(t, h, "GET", "/checkpoint"); r.StatusCode != http.StatusNotFound {
		t.Errorf("an empty log's checkpoint: %s", r.Status)
	}
	crowd(t, l, 513)
	for path, want := range map[string]int{ // bytes; 0: refused
		"/tile/0/000": 8192, "/tile/0/001": 8192, "/tile/0/002.p/1": 32, "/tile/0/001.p/255": 8160, "/tile/1/000.p/2": 64, "/tile/1/000.p/1": 32,
		"/tile/0/002": 0, "/tile/0/002.p/2": 0, "/tile/0/003.p/1": 0, "/tile/1/000": 0, "/tile/1/000.p/3": 0, "/tile/2/000.p/1": 0,
		"/tile/0/000.p/0": 0, "/tile/0/000.p/256": 0, "/tile/0/000.p/01": 0, "/tile/0/0": 0, "/tile/00/000": 0, "/tile/64/000": 0, "/tile/63/000.p/1": 0, "/tile/-1/000": 0,
		"/tile/data/000": 0, "/tile/8/0/000": 0, "/tile/entries/003.p/1": 0, "/tile/entries/002": 0, "/tile/": 0, "/tile/entries/": 0,
		"/tile/0/x999/x999/x999/x999/x999/x999/999": 0, "/tile/0/x000/000": 0, "/tile/7/x999/x999/x999/x999/x999/999.p/1": 0, "/tile/0/" + strings.Repeat("x999/", 9999) + "999": 0,
	} {
		r := get(t, h, "GET", path)
		switch {
		case want == 0 && (r.StatusCode != http.StatusNotFound || r.Header.Get("Cache-Control") != "no-store"):
			t.Errorf("%.60s: %s, %v", path, r.Status, r.Header)
		case want != 0 && (r.StatusCode != http.StatusOK || r.ContentLength != int64(want) || r.Header.Get("Content-Type") != "application/octet-stream" ||
			!strings.Contains(r.Header.Get("Cache-Control"), "immutable")):
			t.Errorf("%s: %s, %d bytes, %v; want %d", path, r.Status, r.ContentLength, r.Header, want)
		}
	}
	if r := get(t, h, "GET", "/checkpoint"); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" || r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("checkpoint: %s %v", r.Status, r.Header)
	}
	if r := get(t, h, "POST", "/checkpoint"); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("posting: %s", r.Status)
	}
}

// TestATileOfDamageIsNotServed changes an entry, and drops one.
func TestATileOfDamageIsNotServed(t *testing.T) {
	for name, statement := range map[string]string{
		"changed": "UPDATE entries SET data = replace(data, 'sa/a', 'sa/x') WHERE idx = 17", "dropped": "DELETE FROM entries WHERE idx = 17", "hash": "DELETE FROM hashes WHERE idx = 3",
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, filepath.Join(t.TempDir(), "l.db"))
			crowd(t, l, 20)
			l.Exec(t, statement)
			path := "/tile/entries/000.p/20"
			if name == "hash" {
				path = "/tile/0/000.p/20"
			}
			r := get(t, ledger.Handler(l), "GET", path)
			body, _ := io.ReadAll(r.Body)
			if r.StatusCode != http.StatusInternalServerError || strings.Contains(string(body), "17") || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s", r.Status, body)
			}
		})
	}
}

// FuzzTilePath: whatever is asked for, the answer is a tile of the log or a refusal.
func FuzzTilePath(f *testing.F) {
	l := open(f, filepath.Join(f.TempDir(), "l.db"))
	crowd(f, l, 300)
	h := ledger.Handler(l)
	for _, path := range []string{"0/000", "entries/001.p/44", "1/000.p/1", "7/x999/999", "data/000"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/tile/", nil)
		r.URL.Path = "/tile/" + path
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusNotFound && w.Code/100 != 3 {
			t.Errorf("%q: %d", path, w.Code)
		}
		if tile, err := torchwood.ParseTilePath("tile/" + path); w.Code == http.StatusOK && (err != nil || tile.N*256+int64(tile.W) > 300) {
			t.Errorf("%q was served", path)
		}
	})
}
