package observe

import "github.com/go-logr/logr"

// exporterFaults are the settings that OpenTelemetry's exporters cannot use, such as "parse headers". The exporters would go on
// without that setting and print it on standard error, with the secrets in it: only the name of the step is kept.
type exporterFaults []string

func (c *exporterFaults) Error(_ error, what string, _ ...any) { *c = append(*c, what) }

func (c *exporterFaults) Init(logr.RuntimeInfo)          {}
func (c *exporterFaults) Enabled(int) bool               { return false }
func (c *exporterFaults) Info(int, string, ...any)       {}
func (c *exporterFaults) WithValues(...any) logr.LogSink { return c }
func (c *exporterFaults) WithName(string) logr.LogSink   { return c }
