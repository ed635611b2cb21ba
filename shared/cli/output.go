package cli

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
)

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// newLogger returns a logger of text on a terminal. Elsewhere a server logs JSON, other commands text.
func (a *app) newLogger() *slog.Logger {
	format := a.settings.LogFormat
	return observe.Logger(a.stderr, format == "json" || format == "" && a.server && !isTerminal(a.stderr), a.settings.LogLevel)
}

// writeJSON writes what json.Marshal returned.
func (a *app) writeJSON(text []byte, err error) error {
	if err == nil {
		_, err = fmt.Fprintln(a.stdout, escapeControls(string(text)))
	}
	return err
}

// writeLine writes a value as one line of JSON. Text from records may be anything: invalid UTF-8 becomes U+FFFD.
func (a *app) writeLine(value any) error {
	return a.writeJSON(json.Marshal(value, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)))
}

// escapeControls escapes in a JSON text the characters that JSON leaves as they are and a terminal obeys: DEL and C1, and those
// that turn the direction of a line or end it. The JSON means the same afterwards; invalid UTF-8 becomes U+FFFD.
func escapeControls(json string) string {
	var escaped strings.Builder
	for _, r := range json {
		if r >= 0x7f && events.IsControl(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.String()
}

// newBar makes a progress bar for a number of things, -1 if that is unknown. It is shown on a terminal.
func (a *app) newBar(things int64, name string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(things, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(name),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(a.stderr)))
}

// printTable writes rows of cells that tabs separate, in columns.
func printTable(w io.Writer, rows ...string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(rows, "\n"))
	return table.Flush()
}

// printable shows bytes of a record on one line of at most 4,000 characters; "-" = there are none.
func printable(b []byte) string { return cmp.Or(events.OneLine(string(b), 4000), "-") }

// maxRows is how many rows of a table are shown: more than a screen, and not what a person reads.
const maxRows = 100

// printList prints items as lines of JSON, or as a table of at most [maxRows] rows below the heading, and how many more there are.
func printList[T any](a *app, items []T, heading string, row func(T) string) error {
	if a.json {
		for _, item := range items {
			if err := a.writeLine(item); err != nil {
				return err
			}
		}
		return nil
	}
	rows := []string{heading}
	for _, item := range items[:min(len(items), maxRows)] {
		rows = append(rows, row(item))
	}
	err := printTable(a.stdout, rows...)
	if more := len(items) - maxRows; err == nil && more > 0 {
		_, err = fmt.Fprintf(a.stdout, "… and %d more; --json shows all\n", more)
	}
	return err
}

// counted is a number and a noun, such as "1 event" and "2 events".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// topicNames are the topics of the event types.
func topicNames() (names []string) {
	for _, d := range events.Catalogue() {
		names = append(names, d.Topic)
	}
	return names
}
