package connections

import (
	"errors"
	"io"

	logv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Register adds Envoy's access log service to a gRPC server, which must let in
// Envoy's user only.
func (t *Table) Register(server grpc.ServiceRegistrar) {
	alsv3.RegisterAccessLogServiceServer(server, receiver{table: t})
}

// receiver is the service. Envoy opens a stream for each log and worker thread.
type receiver struct {
	alsv3.UnimplementedAccessLogServiceServer
	table *Table
}

// StreamAccessLogs takes records until Envoy ends the stream; what it could not
// send by then is lost.
func (r receiver) StreamAccessLogs(stream alsv3.AccessLogService_StreamAccessLogsServer) error {
	first := true
	var inbound bool
	var records []record
	for {
		message, err := stream.Recv()
		if err != nil {
			r.table.interrupted()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if first {
			switch log := message.GetIdentifier().GetLogName(); log {
			case LogInboundHTTP, LogInboundTCP:
				inbound = true
			case LogOutboundHTTP, LogOutboundTCP:
			default:
				return status.Errorf(codes.InvalidArgument, "the log %.100q is none of those that this agent reads", log)
			}
			first = false
		}
		records = r.table.parse(records[:0], inbound, message)
		r.table.observe(records)
	}
}

// parse reads the records of one message that are of a connection with a certificate.
func (t *Table) parse(into []record, inbound bool, message *alsv3.StreamAccessLogsMessage) []record {
	one := func(common *logv3.AccessLogCommon) {
		r, ok, err := parseRecord(inbound, common)
		switch {
		case err != nil:
			t.misread(err)
		case ok:
			into = append(into, r)
		default:
			t.metrics.records[recordPlain].Inc()
		}
	}
	for _, entry := range message.GetHttpLogs().GetLogEntry() {
		one(entry.GetCommonProperties())
	}
	for _, entry := range message.GetTcpLogs().GetLogEntry() {
		one(entry.GetCommonProperties())
	}
	return into
}

// misread notes a record that could not be read.
func (t *Table) misread(err error) {
	t.metrics.records[recordMalformed].Inc()
	t.logger.Debug("a record of envoy's log is not as it should be", "error", err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lack(lacks[recordMalformed])
	t.stir()
}

// interrupted notes the end of a stream.
func (t *Table) interrupted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lack("whose records were lost with a stream of Envoy's log")
	t.stir()
}
