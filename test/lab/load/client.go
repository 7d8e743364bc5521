package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Answer is what one request came to.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Took   time.Duration
	// Reused says that an earlier request used the same connection.
	Reused bool
}

// Client keeps at most one connection, and uses it for one request at a time.
// It is not safe for use by several goroutines.
type Client struct {
	target target
	conn   net.Conn
	reader *bufio.Reader
	used   bool
	// Opened counts connections.
	Opened int
}

// NewClient makes a client for a plan's URL; the plan's amounts are not used.
func NewClient(p Plan) (*Client, error) {
	p.Count = max(p.Count, 1)
	t, err := p.target()
	if err != nil {
		return nil, err
	}
	return &Client{target: t}, nil
}

// Do sends one request, once. An error means that no whole answer came; the
// connection is closed then.
func (c *Client) Do(ctx context.Context) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.target.Timeout)
	defer cancel()
	start := time.Now()
	if c.conn == nil {
		if err := c.open(ctx); err != nil {
			return Answer{}, err
		}
	}
	answer, keep, err := c.exchange(ctx)
	answer.Took, answer.Reused = time.Since(start), c.used
	c.used = true
	if err != nil || !keep || c.target.Fresh {
		c.Close()
	}
	return answer, err
}

func (c *Client) open(ctx context.Context) error {
	conn, err := c.target.Dial(ctx, "tcp", c.target.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	c.conn, c.reader, c.used = conn, bufio.NewReader(conn), false
	c.Opened++
	return nil
}

func (c *Client) exchange(ctx context.Context) (a Answer, keep bool, err error) {
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return a, false, err
	}
	// A context that ends early must not wait for the deadline.
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req, err := http.NewRequestWithContext(ctx, c.target.Method, "http://"+c.target.Host+c.target.path, nil)
	if err != nil {
		return a, false, err
	}
	for name, values := range c.target.Header {
		req.Header[name] = values
	}
	if err := req.Write(c.conn); err != nil {
		return a, false, fmt.Errorf("sending: %w", err)
	}
	resp, err := http.ReadResponse(c.reader, req)
	if err != nil {
		return a, false, fmt.Errorf("reading answer: %w", err)
	}
	defer resp.Body.Close()
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return a, false, fmt.Errorf("reading answer's body: %w", err)
	}
	a.Status, a.Header = resp.StatusCode, resp.Header
	return a, !resp.Close, nil
}

// Close drops the connection; the next Do opens another.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
