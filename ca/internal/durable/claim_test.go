package durable

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// TestClaim sees a second process refused while the first lives, even after a
// garbage collection, and welcome once the first was killed.
func TestClaim(t *testing.T) {
	if dir := os.Getenv("DURABLE_CLAIM"); dir != "" {
		err := Claim(dir)
		runtime.GC()
		fmt.Println("claimed", err == nil, errors.Is(err, ErrClaimed))
		bufio.NewReader(os.Stdin).ReadByte()
		return
	}
	dir := t.TempDir()
	claim := func() (answer string, kill func()) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestClaim$")
		cmd.Env = append(os.Environ(), "DURABLE_CLAIM="+dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line), func() { cmd.Process.Kill(); cmd.Wait(); in.Close() }
	}
	first, killFirst := claim()
	second, killSecond := claim()
	killSecond()
	killFirst()
	third, killThird := claim()
	killThird()
	if first != "claimed true false" || second != "claimed false true" || third != "claimed true false" {
		t.Errorf("first %q, second %q, after a kill %q", first, second, third)
	}
	for range 2 {
		if err := Claim(dir); err != nil {
			t.Errorf("in this process: %v", err)
		}
	}
	if err := Claim(dir + "/missing"); err == nil || errors.Is(err, ErrClaimed) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
