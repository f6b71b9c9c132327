"""Fakes, small trees and oracles that several test modules share."""
