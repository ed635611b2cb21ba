package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The limits of [Server]. They cut off slow clients.
const (
	headerTimeout = 5 * time.Second
	// readTimeout must be longer than [maxWait]: net/http keeps this deadline on the connection while the handler runs, and
	// cancels the request when it passes, as if the client had gone (net/http server.go, backgroundRead).
	readTimeout = 30 * time.Second
	// writeTimeout runs from the end of the header, so it includes reading the body and the handler.
	writeTimeout = 45 * time.Second
	// idleTimeout is longer than the 60 s after which AWS's load balancers and nginx close an idle connection to their
	// upstream: the side that sends requests has to close first, or a request meets a connection that is being closed (502).
	idleTimeout = 90 * time.Second
	maxHeader   = 16 << 10 // bytes; net/http adds 4 KiB
)

type drainingKey struct{}

// Server serves handler within limits: 5 s for the header, 30 s for the whole request, 45 s for the answer, 16 KiB of header,
// and 90 s idle (IdleTimeout may be changed before the server runs). Shutdown ends the waits of Prefer with a 404. The listener
// limits the number of connections. Messages of net/http itself go to logger at level warn.
func Server(handler http.Handler, logger *slog.Logger) *http.Server {
	down, stop := context.WithCancel(context.Background())
	base := context.WithValue(context.Background(), drainingKey{}, down.Done())
	srv := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(stop)
	return srv
}

// draining is closed when the server shuts down; nil, which never becomes ready, without a server.
func draining(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return done
}
