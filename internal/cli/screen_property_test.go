package cli

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// drawingSays is what a drawing itself may say to a terminal.
var drawingSays = regexp.MustCompile(`\x1b\[[0-9;]*[mKJA]`)

// TestADrawingHoldsWhateverIsSaid: reasons and names come from proxies, Vault and the
// record. Whatever they are, each row fits, and only the drawing steers the terminal.
func TestADrawingHoldsWhateverIsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		said := func(label string) string { return rapid.String().Draw(t, label) }
		step := rapid.SampledFrom([]string{"preparing", "distributing", stepActivating, "retiring", "done", "unheard-of"}).Draw(t, "step")
		a := at(0, step, 3)
		r := a.Rotation
		r.Problem, r.Reason, r.Actor, r.To.Name, r.Reversed = said("problem"), said("reason"), said("actor"), said("name"), rapid.Bool().Draw(t, "reversed")
		for _, verb := range rapid.SliceOf(rapid.SampledFrom([]string{"begin", "distribute", "activate", "retire", "finish", "rollback", "skip", "pause", "else"})).Draw(t, "verbs") {
			r.Timeline = append(r.Timeline, &ensignv1.RotationEvent{Verb: verb, Detail: said("detail")})
		}
		if r.Gate != nil {
			r.Gate.Laggards = []*ensignv1.RotationLaggard{{Name: said("laggard"), Reason: said("why")}}
		}
		a.Roots = []*ensignv1.Root{{Fingerprint: said("fingerprint"), Place: said("place"), Name: said("root")}}
		a.Issuer = &ensignv1.IssuerStatus{Serial: said("serial"), Problem: said("trouble")}
		a.Upstream = &ensignv1.UpstreamStatus{Place: said("upstream"), Problem: said("sealed")}

		width, height := rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height")
		var out strings.Builder
		s := &screen{out: &out, colour: true, size: func() (int, int) { return width, height }}
		view := rapid.SampledFrom([]func(authority) []line{rotationOnly, wholeStatus}).Draw(t, "view")
		if err := s.draw(view(authorityOf(a))); err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(drawingSays.ReplaceAllString(out.String(), ""), "\n")
		if len(rows)-1 > max(2, height-1) {
			t.Fatalf("%d rows on a terminal of %d", len(rows)-1, height)
		}
		for _, row := range rows {
			row = strings.TrimPrefix(row, "\r")
			if n := utf8.RuneCountInString(row); n > width || strings.ContainsFunc(row, unicode.IsControl) {
				t.Fatalf("row of %d on a terminal of %d: %q", n, width, row)
			}
		}
	})
}
