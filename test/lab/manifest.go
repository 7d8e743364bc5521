package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// generated is the file of the objects that a cluster would make itself.
const generated = "generated-pods.yaml"

// Manifests is the folder that ensignd watches.
func (l *Lab) Manifests() string { return l.manifests }

func (l *Lab) copyManifests(from string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no YAML in %s", from)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := l.write(filepath.Base(file), data); err != nil {
			return err
		}
	}
	return nil
}

// Apply writes a manifest, replacing the file of that name in one step, and
// makes Pods' names and EndpointSlices agree with it. Empty text removes it.
func (l *Lab) Apply(name, text string) error {
	if text == "" {
		if err := os.Remove(filepath.Join(l.manifests, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	} else if err := l.write(name, []byte(text)); err != nil {
		return err
	}
	if !strings.Contains(text, "kind: Service\n") {
		return nil
	}
	return l.Sync()
}

// write renames a hidden file into place, as an editor does.
func (l *Lab) write(name string, data []byte) error {
	target := filepath.Join(l.manifests, name)
	hidden := filepath.Join(l.manifests, "."+name+".new")
	if err := os.WriteFile(hidden, data, 0o644); err != nil {
		return fmt.Errorf("writing manifest: %w", err)
	}
	return os.Rename(hidden, target)
}

// Sync writes Pods and EndpointSlices anew, from the pods as they are and the
// services in the manifests, and gives every namespace the services' names.
func (l *Lab) Sync() error {
	services, err := l.services()
	if err != nil {
		return err
	}
	pods := l.Pods()
	var objects []any
	for _, p := range pods {
		if p.Namespace == "" {
			continue // not of the cluster
		}
		objects = append(objects, p.object())
	}
	for _, s := range services {
		objects = append(objects, slice(s, pods))
	}
	var text bytes.Buffer
	for _, object := range objects {
		data, err := yaml.Marshal(object)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "---\n%s", data)
	}
	if err := l.write(generated, text.Bytes()); err != nil {
		return err
	}
	for _, p := range pods {
		if err := p.Net.SetHosts(l.hosts(p.Namespace, services)); err != nil {
			return err
		}
	}
	return nil
}

// services reads the Services of all manifests.
func (l *Lab) services() ([]*corev1.Service, error) {
	files, err := filepath.Glob(filepath.Join(l.manifests, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var found []*corev1.Service
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, document := range strings.Split(string(data), "\n---") {
			var service corev1.Service
			if yaml.Unmarshal([]byte(document), &service) == nil && service.Kind == "Service" {
				found = append(found, &service)
			}
		}
	}
	return found, nil
}

// slice is what a cluster's endpoint controller writes for a service.
func slice(s *corev1.Service, pods []*Pod) *discoveryv1.EndpointSlice {
	out := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name + "-lab", Namespace: s.Namespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{},
	}
	for _, p := range s.Spec.Ports {
		port, protocol := p.TargetPort.IntVal, corev1.ProtocolTCP
		if port == 0 {
			port = p.Port
		}
		out.Ports = append(out.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &port, Protocol: &protocol, AppProtocol: p.AppProtocol})
	}
	for _, p := range pods {
		if ready, ok := p.serves(s); ok {
			out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{
				Addresses:  []string{p.Net.IP.String()},
				Conditions: discoveryv1.EndpointConditions{Ready: &ready},
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: p.Name, Namespace: p.Namespace},
			})
		}
	}
	return out
}

func sortedPods(pods map[string]*Pod) []*Pod {
	out := make([]*Pod, 0, len(pods))
	for _, p := range pods {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}
