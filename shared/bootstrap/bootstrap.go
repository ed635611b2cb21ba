// Package bootstrap is the common part of the Lambda entry points. A binary has the functions of one side, and each Lambda
// function runs the one that its handler setting names.
//
// Guarantees:
//
//   - Wrong settings or an unknown handler end the init with one line that says what to do, in the log and in the answer to
//     the invoker.
//   - Several invocations may run in one process (AWS_LAMBDA_MAX_CONCURRENCY), as far as the handler allows it.
//   - After that each line of the log is JSON, with the id of the invocation and of its trace, if any.
//
// An execution environment is frozen between invocations and may end without notice, so a handler postpones nothing. No
// extension is registered for SIGTERM, which would cost each cold start a call. Where it arrives all the same the process ends:
// an event whose invocation did not answer is delivered again, and a command was not answered 202.
package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

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
		fail(os.Getenv, os.Stderr, err)
		os.Exit(1)
	}
	lambda.Start(handler)
}

func choose(getenv func(string) string, needs []string, open func(settings.Settings, *slog.Logger) (Functions, error)) (
	lambda.Handler, error,
) {
	s, err := read(getenv, needs)
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

// read reports everything that is wrong or missing.
func read(getenv func(string) string, needs []string) (settings.Settings, error) {
	s, err := settings.Read(getenv)
	for _, name := range needs {
		if strings.TrimSpace(getenv(name)) == "" {
			err = errors.Join(err, fmt.Errorf("%s: must be set; template.yaml sets it", name))
		}
	}
	return s, err
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

func invocation(ctx context.Context) (slog.Attr, bool) {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return slog.Attr{}, false
	}
	return slog.String("requestId", lc.AwsRequestID), true
}

// fail reports why there is no function, in one line of the log and to the Runtime API, which answers the invoker with it
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror). aws-lambda-go has no call for it.
func fail(getenv func(string) string, to io.Writer, err error) {
	why := strings.ReplaceAll(err.Error(), "\n", "; ")
	fmt.Fprintf(to, "the function cannot start: %s\n", why)
	body, _ := json.Marshal(map[string]any{"errorMessage": why, "errorType": "Init.Settings", "stackTrace": []string{}})
	request, err := http.NewRequest(http.MethodPost, "http://"+getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error",
		bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Lambda-Runtime-Function-Error-Type", "Init.Settings")
	client := http.Client{Timeout: time.Second}
	if answer, err := client.Do(request); err == nil { // logged above
		_ = answer.Body.Close()
	}
}
