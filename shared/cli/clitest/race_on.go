//go:build race

package clitest

const RaceDetector = true
