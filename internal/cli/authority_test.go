package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// betweenActs is how long one act of a stage lasts.
const betweenActs = 60 * time.Millisecond

// stage plays an ensignd behind data/admin.sock, for rotations that no test could
// bring about at will:
//
//	stage ACT... [plan=FILE] [renewed=FILE] [refuse=TEXT]
//
// An ACT is a file with an Authority in JSON; the first is what the calls that are no
// stream answer. A stream shows one after the other, and stays open if the last shows a
// rotation that runs. The act `away` ends a stream as an ensignd that is started again
// does; the next stream goes on behind it. What was asked is in the file `asked`, one
// call a line. A later stage takes the place of an earlier.
func stage(ts *testscript.TestScript, neg bool, args []string) {
	p := &play{asked: ts.MkAbs("asked")}
	for _, arg := range args {
		word, value, _ := strings.Cut(arg, "=")
		switch word {
		case "plan":
			read(ts, value, &p.plan)
		case "renewed":
			read(ts, value, &p.renewed)
		case "refuse":
			p.refuse = value
		case "away":
			p.acts = append(p.acts, nil)
		default:
			act := &ensignv1.Authority{}
			read(ts, word, act)
			p.acts = append(p.acts, act)
		}
	}
	ts.Check(os.RemoveAll(p.asked))
	ts.Check(os.MkdirAll(ts.MkAbs("data"), 0o700))
	socket := ts.MkAbs(filepath.Join("data", "admin.sock"))
	ts.Check(os.RemoveAll(socket))
	listener, err := net.Listen("unix", socket)
	ts.Check(err)
	server := grpc.NewServer()
	ensignv1.RegisterAdminServiceServer(server, p)
	go server.Serve(listener)
	ts.Defer(server.Stop)
}

func read(ts *testscript.TestScript, name string, into proto.Message) {
	ts.Check(protojson.Unmarshal([]byte(ts.ReadFile(name)), into))
}

// play is the AdminService of a stage.
type play struct {
	ensignv1.UnimplementedAdminServiceServer
	plan    ensignv1.RotationPlan
	renewed ensignv1.RenewProxyResponse
	refuse  string
	asked   string

	mu   sync.Mutex
	acts []*ensignv1.Authority
}

// note writes down what was asked.
func (p *play) note(call string, r proto.Message) error {
	text, err := protojson.Marshal(r)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	file, err := os.OpenFile(p.asked, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s %s\n", call, line.String()); err != nil {
		return err
	}
	if p.refuse != "" && call != "watch" {
		return status.Error(codes.FailedPrecondition, p.refuse)
	}
	return nil
}

func (p *play) now() *ensignv1.Authority {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acts[0]
}

func (p *play) RotateRoot(_ context.Context, r *ensignv1.RotateRootRequest) (*ensignv1.RotateRootResponse, error) {
	if err := p.note("rotate", r); err != nil {
		return nil, err
	}
	if r.Plan {
		return &ensignv1.RotateRootResponse{Plan: &p.plan}, nil
	}
	return &ensignv1.RotateRootResponse{Authority: p.now()}, nil
}

func (p *play) SteerRotation(_ context.Context, r *ensignv1.SteerRotationRequest) (*ensignv1.SteerRotationResponse, error) {
	if err := p.note("steer", r); err != nil {
		return nil, err
	}
	return &ensignv1.SteerRotationResponse{Authority: p.now()}, nil
}

func (p *play) GetAuthority(context.Context, *ensignv1.GetAuthorityRequest) (*ensignv1.Authority, error) {
	return p.now(), nil
}

func (p *play) WatchAuthority(r *ensignv1.GetAuthorityRequest, stream ensignv1.AdminService_WatchAuthorityServer) error {
	if err := p.note("watch", r); err != nil {
		return err
	}
	for {
		p.mu.Lock()
		act, more := p.acts[0], len(p.acts) > 1
		if more {
			p.acts = p.acts[1:]
		}
		p.mu.Unlock()
		if act == nil {
			return status.Error(codes.Unavailable, "it is stopped")
		}
		if err := stream.Send(act); err != nil {
			return err
		}
		if act.Rotation.GetOutcome() != "running" {
			return nil
		}
		if !more {
			<-stream.Context().Done()
			return nil
		}
		time.Sleep(betweenActs)
	}
}

func (p *play) RenewProxy(ctx context.Context, r *ensignv1.RenewProxyRequest) (*ensignv1.RenewProxyResponse, error) {
	if err := p.note("renew", r); err != nil {
		return nil, err
	}
	return &p.renewed, nil
}
