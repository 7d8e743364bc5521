package contract

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func TestTheAdminSocketIsForItsOwner(t *testing.T) {
	e := start(t)
	info, err := os.Stat(filepath.Join(e.data, "admin.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
}

// callAll calls every method of the admin API with an empty request.
func callAll(t *testing.T, conn *grpc.ClientConn, token string) map[string]error {
	t.Helper()
	ctx := t.Context()
	if token != "" {
		ctx = with(ctx, token)
	}
	results := map[string]error{}
	service := ensignv1.AdminService_ServiceDesc
	for _, method := range service.Methods {
		results[method.MethodName] = conn.Invoke(ctx, "/"+service.ServiceName+"/"+method.MethodName, &emptypb.Empty{}, &emptypb.Empty{})
	}
	for i, description := range service.Streams {
		stream, err := conn.NewStream(ctx, &service.Streams[i], "/"+service.ServiceName+"/"+description.StreamName)
		if err == nil {
			err = stream.SendMsg(&emptypb.Empty{})
		}
		if err == nil {
			stream.CloseSend()
			err = stream.RecvMsg(&emptypb.Empty{})
		}
		results[description.StreamName] = err
	}
	if want := reflect.TypeFor[ensignv1.AdminServiceClient]().NumMethod(); len(results) != want {
		t.Fatalf("%d methods called, the API has %d", len(results), want)
	}
	return results
}

func TestNobodyAdministersOverTheNetworkUnlessListed(t *testing.T) {
	e := start(t)
	web, _ := e.svid("web", "")
	for name, conn := range map[string]*grpc.ClientConn{"an SVID": e.dial(web), "nothing": e.dial()} {
		for method, err := range callAll(t, conn, "") {
			if code := status.Code(err); code != codes.PermissionDenied && code != codes.Unauthenticated {
				t.Errorf("%s by %s: %v", method, name, err)
			}
		}
	}
}

func TestAListedIdentityAdministersBySVIDOnly(t *testing.T) {
	e := start(t, "--admin", "spiffe://cluster.local/ns/shop/sa/web")
	web, _ := e.svid("web", "")
	till, _ := e.svid("till", "")
	for method, err := range callAll(t, e.dial(web), "") {
		if code := status.Code(err); code == codes.PermissionDenied || code == codes.Unauthenticated {
			t.Errorf("%s: %v", method, err)
		}
	}
	for method, err := range callAll(t, e.dial(till), "") {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s by another account: %v", method, err)
		}
	}
	for method, err := range callAll(t, e.dial(), e.token("web", "")) {
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "SVID") {
			t.Errorf("%s by a token: %v", method, err)
		}
	}
}
