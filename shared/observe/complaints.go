package observe

import "github.com/go-logr/logr"

// complaints are what OpenTelemetry's exporters cannot do with their settings, such as "parse headers". They go on without that
// setting, and would print it on standard error, with the secrets in it: so only what they call it is kept.
type complaints []string

func (c *complaints) Error(_ error, what string, _ ...any) { *c = append(*c, what) }

func (c *complaints) Init(logr.RuntimeInfo)          {}
func (c *complaints) Enabled(int) bool               { return false }
func (c *complaints) Info(int, string, ...any)       {}
func (c *complaints) WithValues(...any) logr.LogSink { return c }
func (c *complaints) WithName(string) logr.LogSink   { return c }
