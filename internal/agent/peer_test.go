package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ensign-mesh/ensign/internal/need"
)

// connectAs connects a Unix socket as another user: the kernel notes the user of
// the thread that calls connect.
func connectAs(uid int, path string) (net.Conn, error) {
	result := make(chan error, 1)
	var conn net.Conn
	go func() {
		// Not unlocked: the thread, which may not be root again, ends with us.
		runtime.LockOSThread()
		keep := ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			result <- fmt.Errorf("becoming %d: %w", uid, errno)
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		}
		if err == nil {
			file := os.NewFile(uintptr(fd), path)
			conn, err = net.FileConn(file)
			file.Close()
		}
		result <- err
	}()
	err := <-result
	return conn, err
}

// opens both sockets as a user; nil if a stream got through.
func useAs(t *testing.T, uid int, path string) error {
	t.Helper()
	client, err := grpc.NewClient("passthrough:///socket", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return connectAs(uid, path) }))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if filepath.Base(path) == "sds.sock" {
		stream, err := secretv3.NewSecretDiscoveryServiceClient(client).DeltaSecrets(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"default"}}); err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(client).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeListener}); err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// TestAnotherUserIsRefused even where the file modes would let it in.
func TestAnotherUserIsRefused(t *testing.T) {
	need.Root(t)
	control := newControlPlane(t)
	control.ads = serveListener(nil, nil)
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	for _, name := range []string{"sds.sock", "xds.sock"} {
		path := filepath.Join(config.RunDir, name)
		if err := useAs(t, os.Getuid(), path); err != nil {
			t.Errorf("%s: our own user: %v", name, err)
		}
		if _, err := connectAs(65534, path); err == nil {
			t.Errorf("%s: the file modes let another user connect", name)
		}
		for _, open := range []string{filepath.Dir(config.RunDir), config.RunDir, path} {
			if err := os.Chmod(open, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if conn, err := connectAs(65534, path); err != nil {
			t.Fatalf("the modes are open and still: %v", err)
		} else {
			conn.Close()
		}
		if err := useAs(t, 65534, path); err == nil {
			t.Errorf("%s: another user got through", name)
		}
		for _, closed := range []string{config.RunDir, path} {
			if err := os.Chmod(closed, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
}
