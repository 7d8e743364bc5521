package daemon

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlagsOfRoots(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "",
		"--root imported --import-ca /etc": "",
		"--rotate-root-every 720h":         "",
		"--root vault --vault-addr https://v:8200 --vault-auth token:/f --vault-issuer ensign-1": "",
		"--root elsewhere":        `--root "elsewhere": want`,
		"--root vault":            "needs --vault-addr",
		"--root imported":         "needs --import-ca",
		"--import-ca /etc":        "only with --root imported",
		"--rotate-root-every -1s": "--rotate-root-every",
		"--root-key floppy:a":     "--root-key",
		"--vault-auth token:/f":   "--vault-addr is missing",
		"--vault-addr https://v":  "--vault-auth is missing",
	} {
		var f rootFlags
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.register(flags)
		if err := flags.Parse(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		err := f.validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
