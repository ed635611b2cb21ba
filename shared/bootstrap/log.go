package bootstrap

import (
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
)

// logs writes JSON by the names that Lambda gives to time and text
// (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html). LOG_LEVEL says how much, alone: the
// function's own ApplicationLogLevel (AWS_LAMBDA_LOG_LEVEL) is what Lambda lets through, and template.yaml has it drop nothing.
func logs(to io.Writer, level slog.Level) slog.Handler {
	rename := func(groups []string, a slog.Attr) slog.Attr {
		return lambdacontext.ReplaceAttr(groups, events.LogAttr(groups, a))
	}
	return trace.Logs(invocation{slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: rename})})
}

// invocation adds the id of the invocation.
type invocation struct{ slog.Handler }

func (h invocation) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("requestId", lc.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h invocation) WithAttrs(attrs []slog.Attr) slog.Handler {
	return invocation{h.Handler.WithAttrs(attrs)}
}

func (h invocation) WithGroup(name string) slog.Handler { return invocation{h.Handler.WithGroup(name)} }
