package lab

import (
	"slices"
	"strings"
	"testing"
)

func TestStatsSumBySuffix(t *testing.T) {
	s := Stats{"listener.0.0.0.0_15006.ssl.handshake": 3, "cluster.outbound|80||a.ssl.handshake": 4, "ssl.handshake_other": 9, "x.ssl.handshakes": 1, "cluster.a.internal.ssl.handshake": 4, "cluster.xds-grpc.ssl.handshake": 2}
	if got := s.Sum("ssl.handshake"); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
}

func TestZeroSinceAndFaults(t *testing.T) {
	before := Zero{"a": {"ssl.handshake": 10, "upstream_rq_5xx": 2}, "gone": {"ssl.handshake": 1}}
	after := Zero{
		"a": {"ssl.handshake": 15, "upstream_rq_5xx": 3},
		// Started anew in between: counts from nothing.
		"new": {"ssl.handshake": 4, "ssl.fail_verify_san": 1},
	}
	delta := after.Since(before)
	if delta["a"]["ssl.handshake"] != 5 || delta["new"]["ssl.handshake"] != 4 || delta["gone"] != nil {
		t.Errorf("got %v", delta)
	}
	if got := delta.Faults(); !slices.Equal(got, []string{"a: upstream_rq_5xx 1", "new: ssl.fail_verify_san 1"}) {
		t.Errorf("faults: %v", got)
	}
	if got := delta.Faults("upstream_rq_5xx"); len(got) != 1 {
		t.Errorf("faults but the excused: %v", got)
	}
	if table := delta.String(); len(strings.Split(table, "\n")) != 3 {
		t.Errorf("table:\n%s", table)
	}
}

func TestTrustedRootsAreNamedOnce(t *testing.T) {
	page := `{"certificates":[{"ca_cert":[{"serial_number":"0a"},{"serial_number":"0b"}]},{"ca_cert":[{"serial_number":"0a"}],"cert_chain":[{"serial_number":"0c"}]}]}`
	if got, err := trustedRoots([]byte(page)); err != nil || !slices.Equal(got, []string{"0a", "0b"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := trustedRoots([]byte("upstream connect error")); err == nil {
		t.Error("a page that is none passes")
	}
}

func TestSumMetric(t *testing.T) {
	text := []byte("# HELP ensign_x y\nensign_x{type=\"a b\"} 2\nensign_x{type=\"c\"} 3.5 1700000000\nensign_x_total 9\n")
	if got, err := sumMetric(text, "ensign_x"); err != nil || got != 5.5 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := sumMetric(text, "ensign_y"); err == nil {
		t.Error("a metric that is missing passes for zero")
	}
}

func TestTypedCommandCanBePasted(t *testing.T) {
	l := &Lab{bin: "/tmp/lab/bin"}
	got := l.typed([]string{"ip", "netns", "exec", "pod", "/tmp/lab/bin/bookshop", "--url", "http://a/?b=c&d", "it's"})
	if want := `ip netns exec pod bookshop --url 'http://a/?b=c&d' 'it'\''s'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
