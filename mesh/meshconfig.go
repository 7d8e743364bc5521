package mesh

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Where Istio keeps its MeshConfig.
const (
	defaultRootNamespace = "istio-system"
	meshConfigMap        = "istio"
	meshConfigKey        = "mesh"
)

func defaultConfig() *Config {
	return &Config{RootNamespace: defaultRootNamespace, ClusterDomain: clusterDomain, Passthrough: true, AutoMTLS: true}
}

// compileConfig reads the MeshConfig of Istio's ConfigMap.
func compileConfig(td spiffeid.TrustDomain, in *corev1.ConfigMap, f *findings) *Config {
	out := defaultConfig()
	text, ok := in.Data[meshConfigKey]
	if !ok {
		f.note("data", "write the MeshConfig under the key "+meshConfigKey, "there is no key %q: defaults hold", meshConfigKey)
		return out
	}
	var spec meshv1alpha1.MeshConfig
	if err := readMeshConfig(text, &spec); err != nil {
		f.fail("data.mesh", "correct the field; names are those of istio.io's MeshConfig", "%v", err)
		return nil
	}
	if t := spec.GetTrustDomain(); t != "" && t != td.Name() {
		f.fail("data.mesh.trustDomain", "write "+td.Name()+", or start ensignd with --trust-domain "+t,
			"trust domain %s is not this mesh's %s", t, td.Name())
	}
	if ns := spec.GetRootNamespace(); ns != "" {
		if !dnsLabel.MatchString(ns) {
			f.fail("data.mesh.rootNamespace", "write a namespace", "%q is not a namespace", ns)
		}
		out.RootNamespace = ns
	}
	switch mode := spec.GetOutboundTrafficPolicy().GetMode(); {
	case spec.GetOutboundTrafficPolicy() == nil, mode == meshv1alpha1.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY:
	case mode == meshv1alpha1.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY:
		out.Passthrough = false
	default:
		f.fail("data.mesh.outboundTrafficPolicy.mode", "write ALLOW_ANY or REGISTRY_ONLY", "mode %s is not supported", mode)
	}
	if v := spec.GetEnableAutoMtls(); v != nil {
		out.AutoMTLS = v.GetValue()
	}
	return out
}

// closedConfig is in force for a MeshConfig that has no good version.
func closedConfig() *Config {
	c := defaultConfig()
	c.Passthrough = false
	return c
}

// readMeshConfig refuses unknown and repeated fields.
func readMeshConfig(text string, into *meshv1alpha1.MeshConfig) error {
	var tree map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &tree); err != nil {
		return fmt.Errorf("reading the YAML: %w", err)
	}
	inSeconds(tree, into.ProtoReflect().Descriptor())
	raw, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("reading the YAML: %w", err)
	}
	return protojson.Unmarshal(raw, into)
}

// inSeconds rewrites durations such as 30ms and 5m, which Istio takes, into the
// seconds that protobuf's own JSON form knows.
func inSeconds(tree map[string]any, d protoreflect.MessageDescriptor) {
	for name, v := range tree {
		field := cmp.Or(d.Fields().ByJSONName(name), d.Fields().ByTextName(name))
		if field == nil || field.Message() == nil || field.IsMap() {
			continue
		}
		switch v := v.(type) {
		case string:
			if length, err := time.ParseDuration(v); err == nil && field.Message().FullName() == "google.protobuf.Duration" {
				tree[name] = strconv.FormatFloat(length.Seconds(), 'f', -1, 64) + "s"
			}
		case map[string]any:
			inSeconds(v, field.Message())
		case []any:
			for _, item := range v {
				if child, ok := item.(map[string]any); ok {
					inSeconds(child, field.Message())
				}
			}
		}
	}
}
