package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"
)

// printer writes one answer in the form that was asked for.
type printer struct {
	out    io.Writer
	format string
}

func newPrinter(out io.Writer, format string) (printer, error) {
	switch format {
	case "table", "json", "yaml":
		return printer{out: out, format: format}, nil
	}
	return printer{}, usagef("-o %s is not known; use table, json or yaml", format)
}

// row is one line of a table.
type row []string

// print writes value as JSON or YAML, or the header and rows as a table.
func (p printer) print(value any, header row, rows []row) error {
	switch p.format {
	case "json":
		encoder := json.NewEncoder(p.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	case "yaml":
		text, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("writing yaml: %w", err)
		}
		_, err = p.out.Write(text)
		return err
	}
	return p.table(header, rows)
}

func (p printer) table(header row, rows []row) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	for _, r := range append([]row{header}, rows...) {
		if len(r) > 0 {
			fmt.Fprintln(w, strings.Join(r.plain(), "\t"))
		}
	}
	return w.Flush()
}

// plain takes out of each cell what would steer a terminal: much of what is shown
// was said by proxies.
func (r row) plain() []string {
	cells := make([]string, len(r))
	for i, cell := range r {
		cells[i] = printable(cell)
	}
	return cells
}

// printable replaces control characters, line ends among them.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// oneLine is a text of several lines, as joined errors are, in one.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// stamp is RFC 3339 in UTC, "" for no time.
func stamp(t time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// moment is stamp to the millisecond, for what people compare with a change that
// they just made.
func moment(t time.Time) string {
	if stamp(t) == "" {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
