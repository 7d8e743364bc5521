package cli

import (
	"strings"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// meshStatus is what `proxy status` answers; its keys are stable.
type meshStatus struct {
	Proxies []proxyStatus `json:"proxies"`
	Holds   []heldBack    `json:"holds"`
}

type proxyStatus struct {
	Name         string       `json:"name"`
	SPIFFEID     string       `json:"spiffe_id"`
	NodeID       string       `json:"node_id"`
	EnvoyVersion string       `json:"envoy_version,omitempty"`
	Connected    bool         `json:"connected"`
	ConnectedAt  string       `json:"connected_at,omitempty"`
	Types        []typeStatus `json:"types"`
	// From the agent's last report: what Envoy itself acknowledged and serves.
	Serial      string `json:"svid_serial,omitempty"`
	Fingerprint string `json:"svid_sha256,omitempty"`
	Bundle      string `json:"bundle_sha256,omitempty"`
	// Trust is the sequence of the word on roots that the bundle is of; 0: of none yet.
	Trust        uint64   `json:"trust_sequence,omitempty"`
	Served       []string `json:"served_sha256,omitempty"`
	SecretError  string   `json:"secret_error,omitempty"`
	AgentClock   string   `json:"agent_clock,omitempty"`
	ReportedAt   string   `json:"reported_at,omitempty"`
	Acknowledged string   `json:"svid_acknowledged_at,omitempty"`
	// How far it obeys what is cut off.
	Mechanisms mechanisms `json:"mechanisms"`
}

// mechanisms are the ways in which a proxy keeps somebody out.
type mechanisms struct {
	Deny mechanism `json:"deny"`
	CRL  mechanism `json:"crl"`
	Cut  mechanism `json:"cut"`
	// CutMethod is how it ends connections: pidfd, sock_destroy, drain or none.
	CutMethod string `json:"cut_method,omitempty"`
	// Open connections that are to end.
	Open uint32 `json:"open_connections"`
}

type mechanism struct {
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

type typeStatus struct {
	Type       string      `json:"type"`
	TypeURL    string      `json:"type_url"`
	State      string      `json:"state"`
	Resources  uint32      `json:"resources"`
	AckedAt    string      `json:"acked_at,omitempty"`
	Rejections []rejection `json:"rejections,omitempty"`
}

type rejection struct {
	Resource string   `json:"resource"`
	Version  string   `json:"version"`
	Error    string   `json:"error"`
	Origins  []string `json:"origins,omitempty"`
}

type heldBack struct {
	Type         string   `json:"type"`
	Resource     string   `json:"resource"`
	Version      string   `json:"version"`
	EnvoyVersion string   `json:"envoy_version"`
	RefusedBy    []string `json:"refused_by"`
	Error        string   `json:"error"`
	Origins      []string `json:"origins,omitempty"`
	Since        string   `json:"since"`
}

const (
	stateSynced  = "SYNCED"
	stateObeys   = "OBEYS"
	stateWaiting = "WAITING"
)

// statusTypes are the columns of the table, in the order in which Envoy needs them.
var statusTypes = []string{"CDS", "EDS", "LDS", "RDS", "VHDS", "ECDS"}

// typeNames are the usual short names of the resource types.
var typeNames = map[string]string{
	"envoy.config.cluster.v3.Cluster":                "CDS",
	"envoy.config.endpoint.v3.ClusterLoadAssignment": "EDS",
	"envoy.config.listener.v3.Listener":              "LDS",
	"envoy.config.route.v3.RouteConfiguration":       "RDS",
	"envoy.config.route.v3.VirtualHost":              "VHDS",
	"envoy.config.core.v3.TypedExtensionConfig":      "ECDS",
}

func typeName(url string) string {
	name := strings.TrimPrefix(url, "type.googleapis.com/")
	if short, ok := typeNames[name]; ok {
		return short
	}
	return name
}

// state is one cell of the table.
func (p proxyStatus) state(name string) string {
	if !p.Connected {
		return "DISCONNECTED"
	}
	for _, t := range p.Types {
		if t.Type == name {
			return t.State
		}
	}
	return "-"
}

// named are the mechanisms in the order of the table.
func (m mechanisms) named() []struct {
	name string
	mechanism
} {
	return []struct {
		name string
		mechanism
	}{{"DENY", m.Deny}, {"CRL", m.CRL}, {"CUT", m.Cut}}
}

// cells are the mechanisms in a row of the table.
func (m mechanisms) cells() row {
	cut := dash(m.Cut.State)
	if m.CutMethod != "" {
		cut += " (" + m.CutMethod + ")"
	}
	return row{dash(m.Deny.State), dash(m.CRL.State), cut}
}

func mechanismsOf(m *ensignv1.Mechanisms) mechanisms {
	of := func(one *ensignv1.Mechanism) mechanism {
		return mechanism{State: one.GetState(), Detail: one.GetDetail()}
	}
	return mechanisms{Deny: of(m.GetDeny()), CRL: of(m.GetCrl()), Cut: of(m.GetCut()), CutMethod: m.GetCutMethod(), Open: m.GetOpenConnections()}
}

func statusOf(answer *ensignv1.ListProxiesResponse) meshStatus {
	status := meshStatus{Proxies: []proxyStatus{}, Holds: []heldBack{}}
	for _, p := range answer.Proxies {
		status.Proxies = append(status.Proxies, proxyOf(p))
	}
	for _, h := range answer.Holds {
		status.Holds = append(status.Holds, heldBack{
			Type: typeName(h.TypeUrl), Resource: h.Resource, Version: h.Version, EnvoyVersion: h.EnvoyVersion,
			RefusedBy: h.RefusedBy, Error: h.Error, Origins: h.Origins, Since: stamp(h.Since.AsTime()),
		})
	}
	return status
}

func proxyOf(p *ensignv1.Proxy) proxyStatus {
	status := proxyStatus{
		Name: p.Name, SPIFFEID: p.SpiffeId, NodeID: p.NodeId, EnvoyVersion: p.EnvoyVersion,
		Connected: p.Connected, ConnectedAt: stamp(p.ConnectedAt.AsTime()), Types: []typeStatus{},
		ReportedAt: stamp(p.ReportedAt.AsTime()), Mechanisms: mechanismsOf(p.Mechanisms),
	}
	for _, t := range p.Types {
		value := typeStatus{
			Type: typeName(t.TypeUrl), TypeURL: t.TypeUrl, State: t.State,
			Resources: t.Resources, AckedAt: moment(t.AckedAt.AsTime()),
		}
		for _, r := range t.Rejections {
			value.Rejections = append(value.Rejections, rejection{r.Resource, r.Version, r.Error, r.Origins})
		}
		status.Types = append(status.Types, value)
	}
	if report := p.Report; report != nil {
		status.Serial = report.Acknowledged.GetSerial()
		status.Fingerprint = report.Acknowledged.GetFingerprint()
		status.Bundle = report.Acknowledged.GetBundle()
		status.Trust = report.TrustSequence
		status.Acknowledged = stamp(report.Acknowledged.GetAcknowledgedAt().AsTime())
		status.Served = report.ServedFingerprints
		status.SecretError = report.SecretError
		status.AgentClock = stamp(report.Clock.AsTime())
	}
	return status
}
