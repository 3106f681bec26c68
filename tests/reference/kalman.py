"""A linear-Gaussian state-space model, and its likelihood by Kalman's filter.

Plain numpy in double precision. With `h_{-1} = 0`:

```
h_t = transition h_{t-1} + z_t        z_t ~ N(0, diag(latent_variance))
x_t = emission h_t + e_t              e_t ~ N(0, diag(noise_variance))
```
"""

from typing import NamedTuple

import numpy as np


class StateSpace(NamedTuple):
    transition: np.ndarray
    emission: np.ndarray
    latent_variance: np.ndarray
    noise_variance: np.ndarray

    def sample(self, random, num_samples, length):
        """`(num_samples, length, features)`."""
        hidden = np.zeros((num_samples, len(self.transition)))
        steps = []
        for _ in range(length):
            latent = random.normal(size=hidden.shape)
            latent = latent * np.sqrt(self.latent_variance)
            hidden = hidden @ self.transition.T + latent
            mean = hidden @ self.emission.T
            noise = random.normal(size=mean.shape)
            steps.append(mean + noise * np.sqrt(self.noise_variance))
        return np.stack(steps, axis=1)

    def log_likelihood(self, sequence):
        """Nats of one sequence `(length, features)`."""
        size = len(self.transition)
        mean, covariance = np.zeros(size), np.zeros((size, size))
        total = 0.0
        for x in np.asarray(sequence, "float64"):
            mean = self.transition @ mean
            covariance = self.transition @ covariance @ self.transition.T
            covariance = covariance + np.diag(self.latent_variance)
            expected = self.emission @ mean
            spread = self.emission @ covariance @ self.emission.T
            spread = spread + np.diag(self.noise_variance)
            error = x - expected
            weighted = np.linalg.solve(spread, error)
            _, log_determinant = np.linalg.slogdet(2 * np.pi * spread)
            total -= 0.5 * (log_determinant + error @ weighted)
            gain = covariance @ self.emission.T @ np.linalg.inv(spread)
            mean = mean + gain @ error
            covariance = covariance - gain @ self.emission @ covariance
        return total
