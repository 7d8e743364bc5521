package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

// Result is what a command came to.
type Result struct {
	// Line is what a person would type.
	Line   string `json:"command"`
	Output string `json:"output"`
	Code   int    `json:"exit"`
}

// Ensign runs the CLI against the lab's ensignd, whose folder it learns from
// ENSIGN_DATA.
func (l *Lab) Ensign(ctx context.Context, args ...string) Result {
	return l.run(ctx, append([]string{l.program("ensign")}, args...)...)
}

// EnsignLive is the same, and writes what the CLI says to out as it comes.
func (l *Lab) EnsignLive(ctx context.Context, out io.Writer, args ...string) Result {
	return l.runTo(ctx, out, append([]string{l.program("ensign")}, args...)...)
}

// Exec runs a command inside the pod's namespace, where it is captured as the
// app is. The first word may be bookshop.
func (p *Pod) Exec(ctx context.Context, args ...string) Result {
	argv := append([]string{}, args...)
	if argv[0] == "bookshop" {
		argv[0] = p.lab.program(argv[0])
	}
	return p.lab.run(ctx, p.Net.Command(0, argv...)...)
}

func (l *Lab) run(ctx context.Context, argv ...string) Result {
	return l.runTo(ctx, io.Discard, argv...)
}

func (l *Lab) runTo(ctx context.Context, live io.Writer, argv ...string) Result {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	both := io.MultiWriter(&out, live) // one writer: the order is the command's
	cmd.Stdout, cmd.Stderr = both, both
	cmd.Env = append(os.Environ(), "ENSIGN_DATA="+l.Control.Data)
	err := cmd.Run()
	r := Result{Line: l.typed(argv), Output: strings.TrimRight(out.String(), "\n")}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		r.Code, r.Output = -1, err.Error()
	}
	return r
}

// typed is argv as a person would write it: programs by name, words quoted
// where a shell needs it.
func (l *Lab) typed(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		word = strings.TrimPrefix(word, l.bin+"/")
		if word == "" || strings.ContainsAny(word, " \t\n\"'$&|;<>()*?[]{}\\") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words[i] = word
	}
	return strings.Join(words, " ")
}

// Load sends requests as the pod's app would.
func (p *Pod) Load(ctx context.Context, plan load.Plan) (load.Report, error) {
	plan.Dial = p.Net.Dial
	return load.Run(ctx, plan)
}

// Client keeps one connection, as the pod's app would.
func (p *Pod) Client(plan load.Plan) (*load.Client, error) {
	plan.Dial = p.Net.Dial
	return load.NewClient(plan)
}

// Get is one request on a connection of its own.
func (p *Pod) Get(ctx context.Context, url string) (load.Answer, error) {
	client, err := p.Client(load.Plan{URL: url, Fresh: true})
	if err != nil {
		return load.Answer{}, err
	}
	defer client.Close()
	return client.Do(ctx)
}
