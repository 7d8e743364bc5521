package agent

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"
)

// logBuffer keeps what was logged, for tests that look for what must not be there.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// loggerTo is a logger whose text a test reads.
func loggerTo(t testing.TB, logs *logBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.MultiWriter(logs, t.Output()), nil))
}

// running is an agent in this process.
type running struct {
	stop context.CancelFunc
	done chan struct{}
	code int
	err  error
}

// startAgent runs an agent until the test ends or stop is called.
func startAgent(t testing.TB, config Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.code, r.err = Run(ctx, config)
	}()
	t.Cleanup(func() { r.wait(t) })
	return r
}

// wait stops the agent and waits for its end.
func (r *running) wait(t testing.TB) {
	t.Helper()
	r.stop()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		t.Error("the agent does not end")
	}
}

// eventually repeats a check until it holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("in 20 s it did not come about that %s", what)
}

func get(url string) (int, string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func ready(config Config) bool {
	code, _ := get("http://" + config.Health + "/healthz/ready")
	return code == http.StatusOK
}

// next is what comes out of a channel within 20 s and passes.
func next[T any](t testing.TB, what string, from <-chan T, passes func(T) bool) T {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case value := <-from:
			if passes(value) {
				return value
			}
			t.Logf("passed over: %v", value)
		case <-deadline:
			t.Fatalf("in 20 s there was no %s", what)
		}
	}
}
