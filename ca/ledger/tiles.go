package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// maxTilePath is longer than the path of any tile that a log can have.
	maxTilePath = 64
	// maxTileLevel is that of a log of 2^63 entries.
	maxTileLevel = 7
	// maxTiles bounds how many tiles are in memory at once; entries have up to 16 MiB.
	maxTiles = 16
	// tileWait is how long a request waits for its turn, tileWrite how long a client
	// may take to read the answer.
	tileWait, tileWrite = 5 * time.Second, 30 * time.Second
)

// errNoTile means that the log has no such tile, or not yet.
var errNoTile = errors.New("no such tile")

// Handler serves the log by C2SP tlog-tiles, to whoever wants to follow it:
// /checkpoint, /tile/LEVEL/N[.p/WIDTH] and /tile/entries/N[.p/WIDTH], partial tiles
// of any width that the log has reached. Entries are checked against their hashes
// before they are given away. It limits how many tiles it serves at once.
func Handler(l *Ledger) http.Handler {
	s := &tileServer{ledger: l, turns: make(chan struct{}, maxTiles)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", s.checkpoint)
	mux.HandleFunc("GET /tile/", s.tile)
	return mux
}

type tileServer struct {
	ledger *Ledger
	turns  chan struct{}
}

func (s *tileServer) checkpoint(w http.ResponseWriter, _ *http.Request) {
	text, _, _ := s.ledger.Checkpoint()
	w.Header().Set("Cache-Control", "no-cache")
	if text == "" {
		http.Error(w, "the log has no entries yet", http.StatusNotFound)
		return
	}
	answer(w, "text/plain; charset=utf-8", []byte(text))
}

func (s *tileServer) tile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	tile, err := parseTile(r.URL.Path, s.ledger.head.Load().size)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-time.After(tileWait):
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many tiles are asked for: try again", http.StatusServiceUnavailable)
		return
	case <-r.Context().Done():
		return
	}
	data, err := s.ledger.tile(r.Context(), tile)
	if err != nil {
		if r.Context().Err() == nil {
			s.ledger.config.Logger.Error("tile of the ledger not served", "path", r.URL.Path, "error", err)
		}
		http.Error(w, "the log cannot be read: see ensignd's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	// A client that does not read must not hold its turn.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(tileWrite))
	answer(w, "application/octet-stream", data)
}

func answer(w http.ResponseWriter, contentType string, data []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}

// parseTile reads the path of a tile that a log of this size has. A tile has one
// path only.
func parseTile(path string, size int64) (tlog.Tile, error) {
	path = strings.TrimPrefix(path, "/")
	if len(path) > maxTilePath {
		return tlog.Tile{}, errNoTile
	}
	t, err := torchwood.ParseTilePath(path)
	if err != nil || torchwood.TilePath(t) != path || t.L > maxTileLevel {
		return tlog.Tile{}, errNoTile
	}
	hashes := size >> (max(0, t.L) * torchwood.TileHeight)
	// Divided first: N may be so large that a product would overflow.
	if t.N > hashes/torchwood.TileWidth || t.N*torchwood.TileWidth+int64(t.W) > hashes {
		return tlog.Tile{}, errNoTile
	}
	return t, nil
}

// tile is the content of a tile that the log has.
func (l *Ledger) tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if t.L >= 0 {
		return tlog.ReadTileData(t, stored{ctx, l.db.Reader})
	}
	records, err := readPage(ctx, l.db.Reader, uint64(t.N)*torchwood.TileWidth, uint64(t.W))
	if err != nil {
		return nil, err
	}
	if len(records) != t.W {
		return nil, damagef("of the entries %d to %d there are %d", t.N*torchwood.TileWidth, t.N*torchwood.TileWidth+int64(t.W)-1, len(records))
	}
	var data []byte
	for _, r := range records {
		if data, err = torchwood.AppendTileEntry(data, r.Data); err != nil {
			return nil, fmt.Errorf("bundling entry %d: %w", r.Index, err)
		}
	}
	return data, nil
}
