"""BYOL (Grill et al. 2020) and FactorVAE (Kim & Mnih 2018) in PyTorch, for `methods.py`.

Modules have the names of the arrays in checkpoints, and the shapes that SETTINGS say. `step` makes a whole step of a
run of STEPS, and returns its terms.
"""
import copy, math
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from draws import BATCH, CHANNELS, HEIGHT, WIDTH, augmented, batch, noise, permutation, tensor, words

STEPS, CODE, PROJECTION, GAMMA = 3, 10, 32, 7.0
BLOCKS = [
    dict(channels=6, kernel=4, stride=2, padding=1),
    dict(channels=8, kernel=3, stride=1, padding=1, pool=2, poolStride=3),
]
# Where a gradient is near nothing, a smaller epsilon makes steps of its rounding.
ADAM = dict(rate=2e-3, beta1=0.9, beta2=0.99, epsilon=1e-3, schedule="constant", warmupSteps=0)
ENCODER = dict(kind="convolutional", blocks=BLOCKS, local=0, fullyConnected=[40, 30], code=CODE)
SETTINGS = {
    "byol": dict(
        projector=dict(hidden=36, width=PROJECTION), predictor=dict(hidden=28, width=PROJECTION),
        momentum=dict(start=0.8, end=0.98)),
    "factorVAE": dict(
        decoder=dict(channels=3), gamma=GAMMA,
        discriminator=dict(layers=3, units=200, optimiser=dict(ADAM, rate=1e-3, beta1=0.5, beta2=0.9))),
}


def rows(maps):
    """Flattened as height, width, channels"""
    return maps.permute(0, 2, 3, 1).flatten(1)


class Encoder(nn.Module):
    def __init__(self, outputs, bias):
        super().__init__()
        inputs, height, width = CHANNELS, HEIGHT, WIDTH
        for k, block in enumerate(BLOCKS, 1):
            convolution = nn.Conv2d(
                inputs, block["channels"], block["kernel"], block["stride"], block["padding"], bias=False)
            setattr(self, f"conv{k}", convolution)
            setattr(self, f"norm{k}", nn.BatchNorm2d(block["channels"]))
            height, width = (
                (side + 2 * block["padding"] - block["kernel"]) // block["stride"] + 1 for side in (height, width))
            if "pool" in block:
                height, width = ((side - block["pool"]) // block["poolStride"] + 1 for side in (height, width))
            inputs = block["channels"]
        self.fc = nn.Linear(height * width * inputs, 40, bias=False)
        self.fc_norm = nn.BatchNorm1d(40)
        self.fc2 = nn.Linear(40, 30, bias=False)
        self.fc2_norm = nn.BatchNorm1d(30)
        self.code = nn.Linear(30, outputs, bias=bias)

    def maps(self, x):
        result = []
        for k, block in enumerate(BLOCKS, 1):
            x = torch.relu(getattr(self, f"norm{k}")(getattr(self, f"conv{k}")(x)))
            if "pool" in block:
                x = functional.max_pool2d(x, block["pool"], block["poolStride"])
            result.append(x)
        return result

    def layers(self, x):
        maps = self.maps(x)
        y = torch.relu(self.fc_norm(self.fc(rows(maps[-1]))))
        y = torch.relu(self.fc2_norm(self.fc2(y)))
        return dict(local=rows(maps[0]), conv=rows(maps[-1]), fc=y, code=self.code(y))

    def forward(self, x):
        return self.layers(x)["code"]


class Decoder(nn.Module):
    """Two doublings, from [4, 5]"""

    def __init__(self, channels):
        super().__init__()
        self.channels = 4 * channels
        self.linear = nn.Linear(CODE, 4 * 5 * self.channels, bias=False)
        self.linear_norm = nn.BatchNorm1d(4 * 5 * self.channels)
        self.double0 = nn.ConvTranspose2d(4 * channels, 2 * channels, 4, 2, 1, bias=False)
        self.norm0 = nn.BatchNorm2d(2 * channels)
        self.double1 = nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.output = nn.Conv2d(channels, CHANNELS, 3, 1, 1, bias=False)

    def forward(self, z):
        y = torch.relu(self.linear_norm(self.linear(z)))
        y = y.reshape(len(z), 4, 5, self.channels).permute(0, 3, 1, 2)
        y = torch.relu(self.norm0(self.double0(y)))
        return self.output(torch.relu(self.norm1(self.double1(y))))


class Head(nn.Module):
    def __init__(self, inputs, hidden, width):
        super().__init__()
        self.layer1 = nn.Linear(inputs, hidden, bias=False)
        self.norm1 = nn.BatchNorm1d(hidden)
        self.layer2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.layer2(torch.relu(self.norm1(self.layer1(x))))


class Discriminator(nn.Module):
    def __init__(self, layers, units, **_):
        super().__init__()
        self.last = layers + 1
        for k in range(1, self.last + 1):
            setattr(self, f"layer{k}", nn.Linear(CODE if k == 1 else units, 2 if k == self.last else units))

    def forward(self, z):
        for k in range(1, self.last):
            z = functional.leaky_relu(getattr(self, f"layer{k}")(z), 0.2)
        return getattr(self, f"layer{self.last}")(z)


def adam(parameters, settings):
    return torch.optim.Adam(
        parameters, lr=settings["rate"], betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"])


def move(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


class BYOL(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(CODE, bias=False)
        self.projector = Head(CODE, **SETTINGS["byol"]["projector"])
        self.predictor = Head(PROJECTION, **SETTINGS["byol"]["predictor"])
        self.target = nn.ModuleDict(dict(encoder=Encoder(CODE, bias=False), projector=copy.deepcopy(self.projector)))

    def start(self):
        self.followed = [(self.target[name], getattr(self, name)) for name in ("encoder", "projector")]
        online = [p for module in (self.encoder, self.projector, self.predictor) for p in module.parameters()]
        self.optimiser = adam(online, ADAM)

    def step(self, step, pixels, mean, deviation):
        images, epoch = batch(step)
        views = [[(augmented(pixels, i, epoch, view) - mean) / deviation for i in images] for view in (0, 1)]
        x = tensor(np.stack(views[0] + views[1]))
        prediction = functional.normalize(self.predictor(self.projector(self.encoder(x))), dim=1)
        with torch.no_grad():
            aim = functional.normalize(self.target["projector"](self.target["encoder"](x)), dim=1)
        # equation 2 for one view's prediction of the other's projection, and the other way round
        distance = (prediction - aim.roll(BATCH, 0)).square().sum(1)
        loss = distance[:BATCH].mean() + distance[BATCH:].mean()
        move(self.optimiser, loss)
        start, end = (SETTINGS["byol"]["momentum"][name] for name in ("start", "end"))
        kept = end - (end - start) * (math.cos(math.pi * step / STEPS) + 1) / 2
        with torch.no_grad():
            for slow, fast in self.followed:
                for theirs, own in zip(slow.parameters(), fast.parameters()):
                    theirs.mul_(kept).add_(own, alpha=1 - kept)
        return dict(distance=loss.item(), loss=loss.item())

    def features(self, x):
        layers = self.encoder.layers(x)
        return dict(layers, projection=self.projector(layers["code"]))


class FactorVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(2 * CODE, bias=True)
        self.decoder = Decoder(**SETTINGS["factorVAE"]["decoder"])
        self.discriminator = Discriminator(**SETTINGS["factorVAE"]["discriminator"])

    def start(self):
        self.optimiser = adam([*self.encoder.parameters(), *self.decoder.parameters()], ADAM)
        self.critic = adam(self.discriminator.parameters(), SETTINGS["factorVAE"]["discriminator"]["optimiser"])

    def latents(self, x, step, part):
        mean, log_variance = self.encoder(x).split(CODE, dim=1)
        return mean, log_variance, mean + (log_variance / 2).exp() * noise(step, part, CODE)

    def step(self, step, pixels, mean, deviation):
        # algorithm 2: the autoencoder on a batch,
        x = tensor(pixels[batch(2 * step)[0]])
        normalised = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
        m, log_variance, z = self.latents(normalised, step, part=0)
        reconstruction = functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / BATCH
        divergence = 0.5 * (log_variance.exp() + m.square() - 1 - log_variance).sum() / BATCH
        probability = self.discriminator(z).softmax(1)
        total_correlation = (probability[:, 0] / probability[:, 1]).log().mean()
        loss = reconstruction + divergence + GAMMA * total_correlation
        move(self.optimiser, loss)

        # then the discriminator, on the same codes and on the permuted ones of another
        other = (pixels[batch(2 * step + 1)[0]] - mean) / deviation
        norms = [module for module in self.encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        with torch.no_grad():
            for norm in norms:
                norm.momentum = 0  # they stay
            drawn = self.latents(tensor(other), step, part=1)[2]
            for norm in norms:
                norm.momentum = 0.1
            permuted = torch.stack(
                [drawn[permutation(words("shuffle", step, k, 1), BATCH), k] for k in range(CODE)], dim=1)
        joint, product = self.discriminator(z.detach()).softmax(1), self.discriminator(permuted).softmax(1)
        told = -0.5 * (joint[:, 0].log().mean() + product[:, 1].log().mean())
        accuracy = 0.5 * ((joint[:, 0] > 0.5).double().mean() + (product[:, 1] > 0.5).double().mean())
        move(self.critic, told)
        return dict(
            reconstruction=reconstruction.item(), divergence=divergence.item(), loss=loss.item(),
            total_correlation=total_correlation.item(), discriminator=told.item(), accuracy=accuracy.item())

    def features(self, x):
        layers = self.encoder.layers(x)
        return dict(mean=layers.pop("code")[:, :CODE], **layers)
