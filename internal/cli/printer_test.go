package cli

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestPrint(t *testing.T) {
	value := []identityRow{{SPIFFEID: "spiffe://td/ns/a/sa/b", Pods: []string{"p"}}}
	for format, want := range map[string]string{
		"table": "WHO                    PODS\nspiffe://td/ns/a/sa/b  p\n",
		"yaml":  "- live_svids: 0\n  namespace: \"\"\n  pods:\n  - p\n  present: false\n  service_account: \"\"\n  spiffe_id: spiffe://td/ns/a/sa/b\n",
		"json": `[
  {
    "spiffe_id": "spiffe://td/ns/a/sa/b",
    "namespace": "",
    "service_account": "",
    "present": false,
    "pods": [
      "p"
    ],
    "live_svids": 0
  }
]
`,
	} {
		var out bytes.Buffer
		p, err := newPrinter(&out, format)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.print(value, row{"WHO", "PODS"}, []row{{"spiffe://td/ns/a/sa/b", "p"}}); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, out.String(), want)
		}
	}
}

func TestATableDoesNotSteerTheTerminal(t *testing.T) {
	var out bytes.Buffer
	p, err := newPrinter(&out, "table")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.print(nil, row{"ENVOY"}, []row{{"1.40\x1b[2K\x07\nforged line"}}); err != nil {
		t.Fatal(err)
	}
	if want := "ENVOY\n1.40\uFFFD[2K\uFFFD\uFFFDforged line\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestAnUnknownFormatIsWrongUse(t *testing.T) {
	_, err := newPrinter(&bytes.Buffer{}, "xml")
	var usage *usageError
	if !errors.As(err, &usage) {
		t.Errorf("%v, want a usage error", err)
	}
}

func TestStamp(t *testing.T) {
	zone := time.FixedZone("east", 3600)
	for want, at := range map[string]time.Time{
		"":                     {},
		"2026-11-21T03:00:00Z": time.Date(2026, 11, 21, 4, 0, 0, 5, zone),
	} {
		if got := stamp(at); got != want {
			t.Errorf("%v: %q, want %q", at, got, want)
		}
	}
	if got := stamp(time.Unix(0, 0)); got != "" {
		t.Errorf("no time prints %q", got)
	}
}

func TestMomentKeepsMilliseconds(t *testing.T) {
	if got := moment(time.Date(2026, 11, 21, 4, 0, 0, 7_900_000, time.UTC)); got != "2026-11-21T04:00:00.007Z" {
		t.Errorf("got %q", got)
	}
	if got := moment(time.Time{}); got != "" {
		t.Errorf("no time prints %q", got)
	}
}
