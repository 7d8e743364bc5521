package connections

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	logv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// request is what Envoy logs of a request's start on a connection of ours.
func request11(p pair, number int) *logv3.HTTPAccessLogEntry {
	c := logged()
	c.DownstreamDirectRemoteAddress = at(p.remote.Addr().String(), uint32(p.remote.Port()))
	c.CustomTags["local"], c.CustomTags["conn"] = p.local.String(), fmt.Sprint(number)
	c.CustomTags["peer_fp"] = "2885e6751bbc5852e71f20adccbfbb984ed309a8afe61d50f1135a5a1a93ba9e"
	c.CustomTags["peer_serial"] = "45cfec9a14dfee53bf97b7582cd9504d"
	san := func(id string) *logv3.TLSProperties_CertificateProperties {
		return &logv3.TLSProperties_CertificateProperties{Issuer: "CN=issuer", SubjectAltName: []*logv3.TLSProperties_CertificateProperties_SubjectAltName{
			{San: &logv3.TLSProperties_CertificateProperties_SubjectAltName_Uri{Uri: id}},
		}}
	}
	c.TlsProperties = &logv3.TLSProperties{PeerCertificateProperties: san(aliceID), LocalCertificateProperties: san(webID)}
	c.StartTime, c.StreamId = timestamppb.Now(), "2a246ae1-e18f-4d38-92c0-95c60d80da54"
	return &logv3.HTTPAccessLogEntry{CommonProperties: c, Request: &logv3.HTTPRequestProperties{
		RequestMethod: corev3.RequestMethod_GET, Scheme: "https", Authority: "reviews.shop.svc.cluster.local:9080",
		Path: "/reviews/12345?page=2", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", RequestId: c.StreamId, RequestHeadersBytes: 512,
	}}
}

// BenchmarkRecords is the agent's work for one record, from its bytes on, of a
// connection that is known or is not. At 1,000 records a second, ns/op × 1,000 is
// the share of a second of one core.
func BenchmarkRecords(b *testing.B) {
	for _, kind := range []string{"known", "new"} {
		b.Run(kind, func(b *testing.B) {
			_, server := connected(b, "tcp", "127.0.0.1:0")
			table := New(Config{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			const batch = 25 // in one message, of Envoy's 16 KiB
			var messages [][]byte
			for m := range 40 {
				var entries []*logv3.HTTPAccessLogEntry
				for i := range batch {
					number := 1
					if kind == "new" {
						number = m*batch + i
					}
					entries = append(entries, request11(pairOf(server), number))
				}
				body, err := proto.Marshal(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
					HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
				}})
				if err != nil {
					b.Fatal(err)
				}
				messages = append(messages, body)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := processor()
			for i := 0; i < b.N; i += batch {
				if i%(batch*len(messages)) == 0 {
					clear(table.connections)
				}
				var message alsv3.StreamAccessLogsMessage
				if err := proto.Unmarshal(messages[i/batch%len(messages)], &message); err != nil {
					b.Fatal(err)
				}
				table.observe(table.parse(nil, true, &message))
			}
			b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(len(messages[0]))/batch, "bytes/record")
		})
	}
}

// processor is the time of a processor that this process has had.
func processor() time.Duration {
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkEnd is the work of ending one connection of a process that has many.
func BenchmarkEnd(b *testing.B) {
	for _, others := range []int{100, 2000} {
		b.Run(fmt.Sprintf("among %d", 2*others), func(b *testing.B) {
			for range others {
				connected(b, "tcp", "127.0.0.1:0")
			}
			diag := newDiag(b)
			d, err := openDescriptors(os.Getpid())
			if err != nil {
				b.Fatal(err)
			}
			defer d.close()
			for name, ender := range map[string]ender{"pidfd": d, "destroy": destroyer{diag}} {
				b.Run(name, func(b *testing.B) {
					var spent time.Duration
					for range b.N {
						b.StopTimer()
						client, server := connected(b, "tcp", "127.0.0.1:0")
						client.Close()
						s, _, _ := diag.find(pairOf(server))
						before := processor()
						b.StartTimer()
						if errs := ender.end([]socket{s}); errs[0] != nil {
							b.Fatal(errs[0])
						}
						b.StopTimer()
						spent += processor() - before
						server.Close()
						b.StartTimer()
					}
					b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
				})
			}
		})
	}
}

// BenchmarkApply is holding a full table against a thousand certificates.
func BenchmarkApply(b *testing.B) {
	k := newKernel()
	table := newTable(Config{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}, k, k.choose)
	for i := range maxConnections {
		r := met(k, fmt.Sprint("spiffe://td/", i%maxPeers), 1)
		r.remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)
		k.connect(r.pair)
		table.observe([]record{r})
	}
	orders := Orders{Revision: 1}
	for i := range 1000 {
		orders.Certificates = append(orders.Certificates, fmt.Sprint(i))
	}
	b.ResetTimer()
	for range b.N {
		table.Apply(orders)
	}
	b.ReportMetric(float64(len(table.connections)), "connections")
}
