package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/joho/godotenv"
)

// loadDotenv takes what a file .env sets into the environment, where nothing else has set it; there need be no such file.
//
// A fault in it is told by its line and without a word of the file: godotenv's own errors repeat what stands there, down
// to the end of the file, and passwords are what such files are for.
func loadDotenv() error {
	text, err := os.ReadFile(".env")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf(".env cannot be read: %w", err)
	}
	if _, err := godotenv.UnmarshalBytes(text); err != nil {
		return fmt.Errorf(".env: line %d cannot be read, or a quote that opens there is not closed; each line is NAME=value, for example KAFKA_BROKERS=127.0.0.1:9092", faultyLine(text))
	}
	return godotenv.Load()
}

// faultyLine is the line behind the longest beginning of a text that can be read. A beginning may end within a quoted
// value of several lines and not be read for that; a longer one is, if the quote is closed.
func faultyLine(text []byte) int {
	line, end := 0, 0
	for i, l := range bytes.SplitAfter(text, []byte("\n")) {
		end += len(l)
		if _, err := godotenv.UnmarshalBytes(text[:end]); err == nil {
			line = i + 1
		}
	}
	return line + 1
}
