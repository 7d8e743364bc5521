package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

const (
	chunkBytes   = 1 << 20
	maxPageBytes = 256 << 20
	pageTimeout  = time.Minute
	// Pages fetched at the same time, for one stream.
	maxQueries = 2
)

// desk answers the control plane's questions about Envoy.
type desk struct {
	admin   *adminPort
	envoy   bool
	metrics *metrics
	places  chan struct{}
}

func newDesk(admin *adminPort, envoy bool, metrics *metrics) *desk {
	return &desk{admin: admin, envoy: envoy, metrics: metrics, places: make(chan struct{}, maxQueries)}
}

// answer starts to answer a query, or refuses it; it does not block.
func (d *desk) answer(ctx context.Context, query *ensignv1.EnvoyQuery, send func(*ensignv1.ConnectRequest) error) {
	select {
	case d.places <- struct{}{}:
	default:
		// In a goroutine: a slow reader must not keep us from reading.
		go d.refuse(query, fmt.Errorf("%d pages are being fetched already: ask again", maxQueries), send)
		return
	}
	go func() {
		defer func() { <-d.places }()
		if err := d.stream(ctx, query, send); err != nil {
			d.refuse(query, err, send)
			return
		}
		d.metrics.queries.WithLabelValues("answered").Inc()
	}()
}

func (d *desk) refuse(query *ensignv1.EnvoyQuery, err error, send func(*ensignv1.ConnectRequest) error) {
	d.metrics.queries.WithLabelValues("refused").Inc()
	// If this cannot be sent the stream is gone, and with it who asked.
	_ = send(answerOf(&ensignv1.EnvoyAnswer{Id: query.GetId(), Error: err.Error(), Last: true}))
}

func answerOf(answer *ensignv1.EnvoyAnswer) *ensignv1.ConnectRequest {
	return &ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Answer{Answer: answer}}
}

func (d *desk) stream(ctx context.Context, query *ensignv1.EnvoyQuery, send func(*ensignv1.ConnectRequest) error) error {
	path, known := pages[query.GetPage()]
	if !known {
		return fmt.Errorf("no such page: %s", query.GetPage())
	}
	if !d.envoy {
		return errors.New("this agent runs no Envoy")
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	body, err := d.admin.open(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer body.Close()
	return cut(body, func(chunk []byte, last bool) error {
		return send(answerOf(&ensignv1.EnvoyAnswer{Id: query.GetId(), Chunk: chunk, Last: last}))
	})
}

// cut hands on a page in chunks, the last one marked, none with a private key.
func cut(page io.Reader, send func(chunk []byte, last bool) error) error {
	var keys keyGuard
	chunk := make([]byte, chunkBytes)
	for total := 0; ; {
		n, err := io.ReadFull(page, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("reading envoy's page: %w", err)
		}
		if total += n; total > maxPageBytes {
			return fmt.Errorf("envoy's page is larger than %d MiB", maxPageBytes>>20)
		}
		if keys.in(chunk[:n]) {
			return errors.New("envoy's page holds a private key, which does not leave this machine")
		}
		if err := send(chunk[:n], last); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// How a PEM private key begins, and the same in base64, as Envoy writes bytes in
// its config dump. Envoy redacts keys itself; this is the second lock.
var keyMarks = [][]byte{
	[]byte("PRIVATE KEY-----"),
	[]byte("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS"), // -----BEGIN PRIVATE KEY
	[]byte("LS0tLS1CRUdJTiBFQyBQUklWQVRFIE"), // -----BEGIN EC PRIVATE
	[]byte("LS0tLS1CRUdJTiBSU0EgUFJJVkFURS"), // -----BEGIN RSA PRIVATE
}

const longestMark = 30

// keyGuard looks for private keys in a text that comes in pieces.
type keyGuard struct{ tail []byte }

// in says whether a key begins in this piece, or began at the end of the last one.
func (g *keyGuard) in(piece []byte) bool {
	seam := append(g.tail, piece[:min(len(piece), longestMark)]...)
	g.tail = append([]byte(nil), piece[max(0, len(piece)-longestMark):]...)
	for _, mark := range keyMarks {
		if bytes.Contains(piece, mark) || bytes.Contains(seam, mark) {
			return true
		}
	}
	return false
}
