package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// wsaAddrInUse is Windows' own number for EADDRINUSE; Go's syscall.EADDRINUSE is another one there.
const wsaAddrInUse = syscall.Errno(10048)

// listen opens the one listener. What it is bound to is what clients are told
// to connect to, so it must be one interface: the broker asks nobody for a
// password, and 0.0.0.0 is no address that a client could be sent to.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("local broker: address %q: %w (example: %s)", address, err, DefaultAddress)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		return nil, fmt.Errorf("local broker: address %q means every interface; name the one to listen on (example: %s)", address, DefaultAddress)
	}
	var c net.ListenConfig
	ln, err := c.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaAddrInUse) {
		return nil, fmt.Errorf("local broker: %w: %s (stop what listens there, or choose another port; port 0 finds a free one)", ErrAddressTaken, address)
	}
	if err != nil {
		return nil, fmt.Errorf("local broker: listen on %s: %w", address, err)
	}
	return ln, nil
}
