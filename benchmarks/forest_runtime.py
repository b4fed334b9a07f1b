"""Forest runtime: the compared model under MLServer; imported by MLServer, in the peers' environment alone."""

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.forest import Forest

__all__ = ["ForestRuntime"]


class ForestRuntime(MLModel):  # type: ignore[misc]  # MLServer is in another environment than the type checker
    """Serves the file that the model's settings name."""

    async def load(self) -> bool:
        """Load it where it stands, as MLServer's own runtimes do."""
        self._forest = Forest(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request of one number with a price and the version that made it."""
        answer = self._forest.answer(float(payload.inputs[0].data[0]))
        outputs = [
            ResponseOutput(name="price", shape=[1], datatype="FP64", data=[answer["price"]]),
            ResponseOutput(name="version", shape=[1], datatype="BYTES", data=[answer["version"]]),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
