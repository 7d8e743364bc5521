package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// renewal: load on fresh and on kept connections until storefront and catalog
// have taken new certificates; no request may fail, and no Envoy may have hidden
// a fault.
func renewal(ctx context.Context, s *scene) (reason string, err error) {
	// Envoys would do it all with a few connections that they keep.
	if err := s.Apply("fresh.yaml", freshConnections); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Apply("fresh.yaml", "")) }()
	s.note("cat > "+s.Manifests()+"/fresh.yaml", freshConnections)
	zero, err := s.Zero(ctx)
	if err != nil {
		return "", err
	}
	before, err := s.serials(ctx)
	if err != nil {
		return "", err
	}
	s.ensign(ctx, "audit", "list", "--id", s.Pod("storefront").ID())
	running, stop := context.WithCancel(ctx)
	defer stop()
	reports := make(chan outcome, 2)
	for _, fresh := range []bool{true, false} {
		go func() {
			r, err := s.Pod("reader").Load(running, load.Plan{URL: lab.BookURL, Fresh: fresh, Workers: 2, Rate: 40, For: time.Minute})
			reports <- outcome{r, err}
		}()
	}
	err = within(ctx, 50*time.Second, func() error {
		now, err := s.serials(ctx)
		if err != nil {
			return err
		}
		for _, pod := range []string{"shop/storefront", "stock/catalog"} {
			if now[pod] == before[pod] {
				return fmt.Errorf("%s has not renewed its certificate", pod)
			}
		}
		return nil
	})
	// The new certificates must carry requests too.
	time.Sleep(2 * time.Second)
	stop()
	fresh, kept := <-reports, <-reports
	if err := errors.Join(err, fresh.err, kept.err); err != nil {
		return "", err
	}
	s.note("load on fresh connections and on kept ones, without retries", fresh.report.String()+"\n"+kept.report.String())
	s.ensign(ctx, "audit", "list", "--id", s.Pod("storefront").ID())
	after, err := s.Zero(ctx)
	if err != nil {
		return "", err
	}
	delta := after.Since(zero)
	s.note("what every Envoy counted meanwhile", delta.String())
	sent, failed := fresh.report.Sent+kept.report.Sent, fresh.report.Failed+kept.report.Failed
	if failed > 0 {
		return "", fmt.Errorf("%d of %d requests failed", failed, sent)
	}
	if faults := delta.Faults(); len(faults) > 0 {
		return "", fmt.Errorf("no request failed, but Envoys counted faults: %v", faults)
	}
	return fmt.Sprintf("storefront and catalog took new keys and certificates under load: 0 of %d requests failed", sent), nil
}

// freshConnections makes every request to the catalog a TLS handshake.
const freshConnections = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: stock}
spec:
  host: catalog.stock.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
`

type outcome struct {
	report load.Report
	err    error
}

// serials of the certificates that Envoys have acknowledged, by NAMESPACE/POD.
func (s *scene) serials(ctx context.Context) (map[string]string, error) {
	st, err := s.status(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, p := range st.Proxies {
		found[p.Name] = p.Serial
	}
	return found, nil
}
