package peercred_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/ensign-mesh/ensign/internal/peercred"
)

// handshake lets one client in through a guard for these users.
func handshake(t *testing.T, uids ...uint32) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	listener, err := peercred.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, _, err = peercred.Credentials(uids...).ServerHandshake(server)
	return err
}

func TestOnlyTheListedUsersGetIn(t *testing.T) {
	me := uint32(os.Getuid())
	if err := handshake(t, me); err != nil {
		t.Errorf("own user: %v", err)
	}
	for _, uids := range [][]uint32{nil, {me + 1}} {
		if err := handshake(t, uids...); !errors.Is(err, peercred.ErrRefused) {
			t.Errorf("users %v: %v, want ErrRefused", uids, err)
		}
	}
}

func TestAPeerWithoutCredentialsIsRefused(t *testing.T) {
	server, client := net.Pipe()
	defer client.Close()
	if _, _, err := peercred.Credentials(0).ServerHandshake(server); !errors.Is(err, peercred.ErrRefused) {
		t.Errorf("%v, want ErrRefused", err)
	}
}

func TestListenReplacesOnlyAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	first, err := peercred.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := peercred.Listen(path); err == nil {
		t.Fatal("a live socket was taken over")
	}
	// A crash leaves the file without a listener.
	stale := filepath.Join(t.TempDir(), "stale.sock")
	raw, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	raw.SetUnlinkOnClose(false)
	raw.Close()
	second, err := peercred.Listen(stale)
	if err != nil {
		t.Fatalf("a stale socket stands in the way: %v", err)
	}
	second.Close()
	first.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Close left the socket: %v", err)
	}
}

func TestListenKeepsAFileThatIsNoSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := peercred.Listen(path); err == nil {
		t.Fatal("a plain file was replaced")
	}
}
