"""Jobs for SageMaker from YAML: completed, checked, estimated, written as SDK code, sent, followed."""
