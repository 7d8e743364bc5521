package program_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/program"
)

// family is a shell with a child, which writes both their numbers into a file.
const family = `sleep 600 & echo $$ $! >"$0.new" && mv "$0.new" "$0"; wait`

// numbers are those that a family wrote.
func numbers(t *testing.T, path string) []int {
	t.Helper()
	for range 1000 {
		text, err := os.ReadFile(path)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		var found []int
		for _, field := range strings.Fields(string(text)) {
			number, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, number)
		}
		return found
	}
	t.Fatal("the program never began")
	return nil
}

// gone waits until a process has ended; a zombie that nobody buries has.
func gone(t *testing.T, number int) {
	t.Helper()
	for range 1000 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(number) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(number, syscall.SIGKILL)
	t.Errorf("process %d lives on", number)
}

func TestNothingOutlivesTheTest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "numbers")
	var processes []int
	t.Run("inner", func(t *testing.T) {
		program.Start(t, "sh", "-c", family, path)
		processes = numbers(t, path)
	})
	for _, number := range processes {
		gone(t, number)
	}
}

func TestAProgramThatEndsByItself(t *testing.T) {
	p := program.Start(t, "true")
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("it is said to run still")
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}

// TestAKilledTestLeavesNothing: it runs itself, as a test that is killed.
func TestAKilledTestLeavesNothing(t *testing.T) {
	if path := os.Getenv("ENSIGN_TEST_VICTIM"); path != "" {
		program.Start(t, "sh", "-c", "echo $$ >"+path+".new && mv "+path+".new "+path+"; exec sleep 600")
		time.Sleep(time.Minute)
		return
	}
	path := filepath.Join(t.TempDir(), "number")
	victim := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	victim.Env = append(os.Environ(), "ENSIGN_TEST_VICTIM="+path)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	number := numbers(t, path)[0]
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	gone(t, number)
}
