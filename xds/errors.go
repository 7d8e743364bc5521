package xds

import "errors"

// ErrNotConnected means that no stream of the asked proxy is open.
var ErrNotConnected = errors.New("proxy is not connected to this control plane")
