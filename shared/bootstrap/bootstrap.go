// Package bootstrap is the common part of the Lambda entry points. A binary has the functions of one side, and each Lambda
// function runs the one that its handler setting names.
//
// Guarantees:
//
//   - Wrong settings or an unknown handler end the init with one line in the log that says what to do.
//   - Several invocations may run in one process (AWS_LAMBDA_MAX_CONCURRENCY), as far as the handler allows it.
//   - After that each line of the log is JSON, with the id of the invocation and of its trace, if any.
//
// An execution environment is frozen between invocations and may end without notice, so a handler postpones nothing. No
// extension is registered for SIGTERM, which would cost each cold start a call. Where it arrives all the same the process ends:
// an event whose invocation did not answer is delivered again, and a command was not answered 202.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
)

// Functions are handlers by the names of their functions.
type Functions map[string]lambda.Handler

// Start runs the function that _HANDLER names, and does not return. needs are the settings without a default here, because a
// laptop's would be wrong; open makes the functions, which use the network only when they are invoked.
func Start(needs []string, open func(settings.Settings, *slog.Logger) (Functions, error)) {
	handler, err := choose(os.Getenv, needs, open)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the function cannot start: "+strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
	lambda.Start(handler)
}

func choose(getenv func(string) string, needs []string, open func(settings.Settings, *slog.Logger) (Functions, error)) (
	lambda.Handler, error,
) {
	s, err := settings.Read(getenv)
	for _, name := range needs {
		if strings.TrimSpace(getenv(name)) == "" {
			err = errors.Join(err, fmt.Errorf("%s: must be set; template.yaml sets it", name))
		}
	}
	if err != nil {
		return nil, err
	}
	logger := slog.New(logs(os.Stdout, s.LogLevel))
	slog.SetDefault(logger)
	functions, err := open(s, logger)
	if err != nil {
		return nil, err
	}
	name := getenv("_HANDLER")
	if f := functions[name]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("the handler setting (_HANDLER) is %q; this binary has %s", name,
		strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
}

// logs writes JSON with Lambda's names of time and text
// (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html) and the id of the invocation.
// LOG_LEVEL alone sets the level: template.yaml sets ApplicationLogLevel (AWS_LAMBDA_LOG_LEVEL) so that Lambda drops nothing.
func logs(to io.Writer, level slog.Level) slog.Handler {
	rename := func(groups []string, a slog.Attr) slog.Attr {
		return lambdacontext.ReplaceAttr(groups, events.LogAttr(groups, a))
	}
	return trace.Logs(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: rename}), invocation)
}

func invocation(ctx context.Context) slog.Attr {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return slog.String("requestId", lc.AwsRequestID)
	}
	return slog.Attr{}
}
