package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// collect puts the programs where every user of the lab may run them: a
// checkout or a cache under /root is closed to the proxy's user.
func collect(dir, from, envoy string) (string, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	if envoy == "" {
		return "", errors.New("no Envoy: run `make envoy`, or set ENSIGN_ENVOY")
	}
	sources := []string{envoy}
	for _, name := range []string{"ensignd", "ensign-agent", "ensign", "bookshop"} {
		sources = append(sources, filepath.Join(from, name))
	}
	for i, source := range sources {
		target := filepath.Join(bin, filepath.Base(source))
		if i == 0 {
			target = filepath.Join(bin, "envoy")
		}
		if err := link(source, target); err != nil {
			return "", fmt.Errorf("collecting programs: %w (run `make build bookshop`)", err)
		}
	}
	return bin, nil
}

// link makes a hard link, or a copy where the file systems differ.
func link(source, target string) error {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	if os.Link(source, target) == nil {
		return nil
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
