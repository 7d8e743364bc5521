package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// span is a piece of a line, in one style.
type span struct{ style, text string }

// line is one row of a text that may be drawn on a terminal.
type line []span

// The styles: SGR parameters.
const (
	styleNone = ""
	styleBold = "1"
	styleDim  = "2"
	styleGood = "32"
	styleWarn = "33"
	styleBad  = "1;31"
)

// text is a line of one style; what steers a terminal is taken out of it.
func text(style, format string, args ...any) line {
	return line{{style, printable(fmt.Sprintf(format, args...))}}
}

// String is the line without styles.
func (l line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return strings.TrimRight(b.String(), " ")
}

// styled is the line cut to a width in characters, with its styles.
func (l line) styled(width int, colour bool) string {
	var b strings.Builder
	for _, s := range l {
		runes := []rune(s.text)
		if len(runes) > width {
			runes = append(runes[:max(0, width-1)], '…')
		}
		if width -= len(runes); colour && s.style != styleNone && len(runes) > 0 {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", s.style, string(runes))
		} else {
			b.WriteString(string(runes))
		}
		if width <= 0 {
			break
		}
	}
	return b.String()
}

// screen is a block of lines at the end of a terminal's output that is drawn over
// with each change. Nothing is cleared before it is written, so that it does not flicker.
type screen struct {
	out io.Writer
	// size of the terminal in characters, asked with each drawing.
	size   func() (width, height int)
	colour bool
	drawn  int
}

// newScreen is nil if out is no terminal that can be drawn on.
func newScreen(out io.Writer) *screen {
	file, ok := out.(*os.File)
	if !ok || !isTerminal(out) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	size := func() (int, int) {
		if s, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil && s.Col > 0 && s.Row > 0 {
			return int(s.Col), int(s.Row)
		}
		return 80, 24
	}
	return &screen{out: out, size: size, colour: os.Getenv("NO_COLOR") == ""}
}

// draw replaces the block. What does not fit is cut, and said so in its last line.
func (s *screen) draw(lines []line) error {
	width, height := s.size()
	if most := max(2, height-1); len(lines) > most {
		cut := text(styleDim, "… and %d lines more", len(lines)-most+1)
		lines = append(append([]line{}, lines[:most-1]...), cut)
	}
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, l := range lines {
		b.WriteString("\r" + l.styled(width, s.colour) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, err := io.WriteString(s.out, b.String())
	return err
}

// print writes lines once, whole: a terminal wraps them.
func (s *screen) print(lines []line) error {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.styled(math.MaxInt, s.colour) + "\n")
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}

// isTerminal tells a terminal from files, pipes and /dev/null.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
