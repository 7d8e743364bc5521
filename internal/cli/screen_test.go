package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// halfRenewed is 2m after noon.
func halfRenewed() authority {
	a := at(2*time.Minute, "activating", 5)
	r := a.Rotation
	r.Window, r.RenewalsUntil, r.Actor, r.Reason = durationpb.New(10*time.Minute), timestamppb.New(noon.Add(11*time.Minute)), "uid:0", "yearly"
	r.Timeline = append(r.Timeline,
		&ensignv1.RotationEvent{Time: timestamppb.New(noon.Add(2 * time.Second)), Verb: "distribute"},
		&ensignv1.RotationEvent{Time: timestamppb.New(noon.Add(time.Minute)), Verb: "activate"})
	r.Gate.Name = "new-root"
	r.Gate.Laggards = []*ensignv1.RotationLaggard{
		{Name: "shop/web-1", Reason: "not connected", LastSeen: timestamppb.New(noon), Until: timestamppb.New(noon.Add(time.Hour))},
		{Name: "shop/\x1b[2Jweb", Reason: "Envoy refused:\n\x07no", Connected: true},
	}
	return authorityOf(a)
}

// drawn is what a terminal of that size shows, without styles.
func drawn(width, height int, draws ...[]line) []string {
	var out bytes.Buffer
	s := &screen{out: &out, size: func() (int, int) { return width, height }}
	var rows []string
	for _, lines := range draws {
		out.Reset()
		_ = s.draw(lines)
		text := out.String()
		if up, rest, ok := strings.Cut(text, "A"); ok && strings.HasPrefix(up, "\x1b[") {
			text, rows = rest, nil
		}
		for row := range strings.Lines(strings.TrimSuffix(text, "\x1b[J")) {
			rows = append(rows, strings.TrimRight(strings.TrimSuffix(strings.TrimPrefix(row, "\r"), "\x1b[K\n"), " "))
		}
	}
	return rows
}

func TestDrawingARotation(t *testing.T) {
	want := `
rotation k3x9  builtin/root → vault/next  2m
  window 10m, laggards wait, by uid:0: yearly

  ✓ preparing     2s       vault/next is made
  ✓ distributing  58s      all trust both roots
  ● activating    1m       5 of 10 live on vault/next
    ━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌    renewals until 2026-11-21T12:11:00Z (9m left)
  ○ retiring               builtin/root is trusted no more
  ○ done

  waiting for 5, each until it follows or its SVID ends
    NAME          SVID ENDS IN  AGENT      REASON
    shop/web-1    58m           away 2m    not connected
    shop/�[2Jweb  -             connected  Envoy refused:��no
    and 3 more

  Ctrl-C leaves it running; ensign ca pause halts it, ensign ca rollback undoes it
`
	if got := strings.Join(drawn(120, 40, rotationOnly(halfRenewed())), "\n"); got != want {
		t.Errorf("drawn:\n%s\nwant:\n%s", got, want)
	}
}

func TestADrawingFitsItsTerminal(t *testing.T) {
	rows := drawn(20, 8, rotationOnly(halfRenewed()))
	if len(rows) != 7 || rows[6] != "… and 13 lines more" {
		t.Errorf("drawn on 20x8:\n%s", strings.Join(rows, "\n"))
	}
	for _, row := range rows {
		if n := len([]rune(row)); n > 20 {
			t.Errorf("%d wide: %q", n, row)
		}
	}
}

func TestADrawingIsDrawnOver(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, colour: true, size: func() (int, int) { return 80, 24 }}
	for _, lines := range [][]line{{text(styleBold, "one"), text(styleNone, "two")}, {text(styleDim, "three")}} {
		if err := s.draw(lines); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\r\x1b[1mone\x1b[0m\x1b[K\n\rtwo\x1b[K\n\x1b[J" + "\x1b[2A\r\x1b[2mthree\x1b[0m\x1b[K\n\x1b[J"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if err := (&screen{out: broken{}, size: s.size}).draw(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a terminal that is gone: %v", err)
	}
}

func TestOnlyTerminalsAreDrawnOn(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if newScreen(null) != nil || newScreen(&bytes.Buffer{}) != nil || isTerminal(null) {
		t.Error("/dev/null and a buffer count as terminals")
	}
}

func TestRoughly(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 300 * time.Millisecond, "59s": 59 * time.Second, "1m": time.Minute, "1m 1s": 61 * time.Second, "1h": time.Hour + 59*time.Second,
		"6d 23h": 7*24*time.Hour - time.Second, "9y 364d": 10*365*24*time.Hour - time.Second,
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestLaggardsFlag(t *testing.T) {
	for text, want := range map[string]string{
		"wait": "wait", "abort": "abort", "abort=90s": "abort=1m30s", "skip-offline=5m": "skip-offline=5m0s",
		"": "!", "wait=": "!", "skip-offline": "!", "abort=0s": "!", "abort=": "!", "skip": "!", "abort=5": "!",
	} {
		var l laggards
		if err := l.Set(text); (err != nil) != (want == "!") || (err == nil && l.String() != want) {
			t.Errorf("%q: %v, %v", text, l, err)
		} else if err == nil && laggardsOf(l.message()) != l {
			t.Errorf("%q becomes %v on the wire", text, laggardsOf(l.message()))
		}
	}
}
