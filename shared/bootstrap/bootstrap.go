// Package bootstrap is what the entry points of the Lambda binaries share: one binary holds the functions of one side, and
// each Lambda function runs the one that its handler setting names.
//
// What it promises:
//
//   - What is wrong with the settings, or with that name, ends the init with one line that says what to do, in the log and
//     in the answer to whoever invokes the function.
//   - Several invocations may run at once in one process (AWS_LAMBDA_MAX_CONCURRENCY), as far as the handler allows it.
//   - From then on every line of the log is JSON, with the id of the invocation and, where there is one, of its trace.
//
// An execution environment is frozen between invocations and may end without notice. So nothing is put off: a handler has
// done what it answers for. No extension is registered to be told of the end (SIGTERM), which would cost each cold start a
// call; where one arrives all the same, the process ends: an invocation that has not answered comes again or, as a
// command, was not answered 202.
package bootstrap

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/sipeat/sipeat/shared/settings"
)

// Functions are handlers by the names of their functions.
type Functions map[string]lambda.Handler

// Start runs the function that _HANDLER names, and does not return. needs are the settings that have no default here, where
// a laptop's would be wrong; open makes the functions, which may use the network when they are invoked, and not before.
func Start(needs []string, open func(settings.Settings, *slog.Logger) (Functions, error)) {
	handler, err := choose(os.Getenv, needs, open)
	if err != nil {
		fail(os.Getenv, os.Stderr, err)
		os.Exit(1)
	}
	lambda.Start(handler)
}

func choose(getenv func(string) string, needs []string, open func(settings.Settings, *slog.Logger) (Functions, error)) (lambda.Handler, error) {
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
	return nil, fmt.Errorf("the handler setting (_HANDLER) is %q; this binary has %s", name, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
}

// read names everything at once that is wrong or missing.
func read(getenv func(string) string, needs []string) (settings.Settings, error) {
	s, err := settings.Read(getenv)
	for _, name := range needs {
		if strings.TrimSpace(getenv(name)) == "" {
			err = errors.Join(err, fmt.Errorf("%s: it is not set; template.yaml sets it", name))
		}
	}
	return s, err
}
