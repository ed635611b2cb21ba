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

// listen opens the listener. Its address is the one that clients are redirected to, so it must be one interface.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("local broker: address %q: %w (example: %s)", address, err, DefaultAddress)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		return nil, fmt.Errorf("local broker: address %q is every interface; choose one, for example %s", address, DefaultAddress)
	}
	var c net.ListenConfig
	ln, err := c.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaAddrInUse) {
		return nil, fmt.Errorf("local broker: %w: %s (stop the other program, or choose another port; 0 takes a free one)",
			ErrAddressTaken, address)
	}
	if err != nil {
		return nil, fmt.Errorf("local broker: listen on %s: %w", address, err)
	}
	return ln, nil
}
