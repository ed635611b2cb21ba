package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/sipeat/sipeat/shared/events"
)

// Cause is the part of a connection's error that may be logged. Errors of libraries contain URLs (a webhook's is its secret)
// and server texts (which quote what the server was sent), so only errors known to contain neither are repeated; of any other
// the type is named.
func Cause(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended // and not the closed connection that it led to
	}
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok { // of addresses and system calls; refusals of TLS too
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New(e.Msg)
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return fmt.Errorf("a %T", err)
}

// Unreached reports whether err means that no connection was made: the receiver has not seen the message.
func Unreached(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

func unavailable(cause error, format string, args ...any) error {
	return events.Wrap(events.Unavailable, cause, format, args...)
}
