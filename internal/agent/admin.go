package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds"
)

const (
	adminTimeout = 5 * time.Second
	// A small page; the large ones are streamed.
	maxSmallPage = 4 << 20
)

// adminPort is Envoy's admin port.
type adminPort struct {
	base   string
	client *http.Client
}

func newAdminPort(address string) *adminPort {
	return &adminPort{base: "http://" + address, client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
	}}}
}

// pages are those that may leave the machine: all read-only.
var pages = map[ensignv1.EnvoyPage]string{
	ensignv1.EnvoyPage_ENVOY_PAGE_CONFIG_DUMP: "/config_dump?include_eds",
	ensignv1.EnvoyPage_ENVOY_PAGE_CERTS:       "/certs",
	ensignv1.EnvoyPage_ENVOY_PAGE_SERVER_INFO: "/server_info",
	ensignv1.EnvoyPage_ENVOY_PAGE_STATS:       "/stats",
}

// open starts reading a page; the caller closes it.
func (a *adminPort) open(ctx context.Context, method, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking envoy for %s: %w", path, err)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking envoy for %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("asking envoy for %s: status %d", path, response.StatusCode)
	}
	return response.Body, nil
}

func (a *adminPort) small(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	body, err := a.open(ctx, method, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxSmallPage+1))
	if err == nil && len(text) > maxSmallPage {
		err = fmt.Errorf("it is larger than %d bytes", maxSmallPage)
	}
	if err != nil {
		return nil, fmt.Errorf("reading envoy's %s: %w", path, err)
	}
	return text, nil
}

// live says whether Envoy calls itself LIVE.
func (a *adminPort) live(ctx context.Context) bool {
	text, err := a.small(ctx, http.MethodGet, "/ready")
	return err == nil && bytes.Contains(text, []byte("LIVE"))
}

// drain asks Envoy to let its clients go: connections are closed as their
// requests end.
func (a *adminPort) drain(ctx context.Context) error {
	_, err := a.small(ctx, http.MethodPost, "/drain_listeners?graceful&skip_exit")
	return err
}

// version is Envoy's, as in "1.40.0".
func (a *adminPort) version(ctx context.Context) (string, error) {
	text, err := a.small(ctx, http.MethodGet, "/server_info")
	if err != nil {
		return "", err
	}
	var info struct{ Version string }
	if err := json.Unmarshal(text, &info); err != nil {
		return "", fmt.Errorf("reading envoy's /server_info: %w", err)
	}
	// COMMIT/VERSION/TREE/KIND/TLS.
	parts := strings.Split(info.Version, "/")
	if len(parts) < 2 {
		return "", fmt.Errorf("envoy's version %q is not of the form COMMIT/VERSION/…", info.Version)
	}
	return parts[1], nil
}

// serials are those of the leaf certificates in Envoy's TLS contexts, as its
// /certs page shows them: lower-case hex without leading zeros, sorted, each once.
func (a *adminPort) serials(ctx context.Context) ([]string, error) {
	text, err := a.small(ctx, http.MethodGet, "/certs")
	if err != nil {
		return nil, err
	}
	return parseCerts(text)
}

func parseCerts(text []byte) ([]string, error) {
	var page struct {
		Certificates []struct {
			Chain []struct {
				Serial string `json:"serial_number"`
			} `json:"cert_chain"`
		}
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return nil, fmt.Errorf("reading envoy's /certs: %w", err)
	}
	var serials []string
	for _, certificate := range page.Certificates {
		if len(certificate.Chain) == 0 {
			continue
		}
		number, ok := new(big.Int).SetString(certificate.Chain[0].Serial, 16)
		if !ok {
			return nil, fmt.Errorf("reading envoy's /certs: %q is no serial number", certificate.Chain[0].Serial)
		}
		serials = append(serials, sds.SerialText(number))
	}
	slices.Sort(serials)
	return slices.Compact(serials), nil
}
