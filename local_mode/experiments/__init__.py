"""SageMaker Experiments' classic API: experiments, trials, trial components, and searches among them and jobs."""
